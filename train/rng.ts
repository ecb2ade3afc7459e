/** What a generator needs to go on: four 32-bit words, ready for JSON. */
export type RngState = readonly [number, number, number, number];

/**
 * Seeded random numbers for everything on the host: shuffles, initial weights, prompt order.
 *
 * The algorithm is xoshiro128** 1.1, seeded by SplitMix64 from the seed and the FNV-1a hash of the
 * stream's name. Streams of one seed are independent, so drawing more numbers for one purpose
 * changes nothing for another.
 *
 * Source: Blackman & Vigna, prng.di.unimi.it (`xoshiro128starstar.c`, `splitmix64.c`).
 */
export class Rng {
  #s: Uint32Array; // (4)

  /**
   * A generator at its start; streams of one seed are independent.
   *
   * @param seed Any safe integer.
   * @param stream Name of the purpose, such as "minibatches".
   * @throws {RangeError} If the seed is not a safe integer.
   */
  constructor(seed: number, stream = "") {
    if (!Number.isSafeInteger(seed)) {
      throw new RangeError(`Cannot seed random numbers with ${seed}: give a safe integer`);
    }
    const words = splitMix64(BigInt.asUintN(64, BigInt(seed)) ^ fnv1a64(stream), 2);
    this.#s = Uint32Array.from(
      words.flatMap((word) => [Number(word & 0xffffffffn), Number(word >> 32n)]),
    );
  }

  /**
   * A generator that goes on where the one with this state stopped.
   *
   * @throws {RangeError} If the state is not four unsigned 32-bit integers, not all zero.
   */
  static restore(state: RngState): Rng {
    const words = Uint32Array.from(state);
    const exact = words.every((word, i) => word === state[i]);
    if (words.length !== 4 || !exact || words.every((word) => word === 0)) {
      throw new RangeError(
        `Cannot restore random numbers from [${state}]: give four unsigned 32-bit integers, not all zero`,
      );
    }
    const rng = new Rng(0);
    rng.#s = words;
    return rng;
  }

  /** A copy of the state, for {@linkcode Rng.restore}. */
  get state(): RngState {
    const [a, b, c, d] = this.#s;
    return [a, b, c, d];
  }

  /** Uniform in [0, 1), with 53 random bits. */
  next(): number {
    const high = this.#next32() >>> 5; // 27 bits
    const low = this.#next32() >>> 6; // 26 bits
    return (high * 2 ** 26 + low) / 2 ** 53;
  }

  /**
   * Uniform integer in [0, n), without bias.
   *
   * @throws {RangeError} If `n` is not an integer between 1 and 2^32.
   */
  int(n: number): number {
    if (!Number.isInteger(n) || n < 1 || n > 2 ** 32) {
      throw new RangeError(
        `Cannot draw an integer below ${n}: the bound must be an integer from 1 to 2^32`,
      );
    }
    // Numbers past the last whole multiple of n would favour small remainders: draw again.
    const limit = 2 ** 32 - (2 ** 32 % n);
    let x = this.#next32();
    while (x >= limit) x = this.#next32();
    return x % n;
  }

  /** Standard normal, by Box and Muller; the second number of the pair is dropped. */
  normal(): number {
    const radius = Math.sqrt(-2 * Math.log(1 - this.next()));
    return radius * Math.cos(2 * Math.PI * this.next());
  }

  /** A new array with the same elements in random order (Fisher and Yates). */
  shuffle<T>(array: readonly T[]): T[] {
    const shuffled = [...array];
    for (let i = shuffled.length - 1; i > 0; i--) {
      const j = this.int(i + 1);
      [shuffled[i], shuffled[j]] = [shuffled[j], shuffled[i]];
    }
    return shuffled;
  }

  /** The next word of xoshiro128**. */
  #next32(): number {
    const s = this.#s;
    const result = Math.imul(rotateLeft(Math.imul(s[1], 5), 7), 9) >>> 0;
    const t = s[1] << 9;
    s[2] ^= s[0];
    s[3] ^= s[1];
    s[1] ^= s[2];
    s[0] ^= s[3];
    s[2] ^= t;
    s[3] = rotateLeft(s[3], 11);
    return result;
  }
}

function rotateLeft(x: number, bits: number): number {
  return (x << bits) | (x >>> (32 - bits));
}

/** The first `count` outputs of SplitMix64. */
function splitMix64(seed: bigint, count: number): bigint[] {
  const u64 = (x: bigint) => BigInt.asUintN(64, x);
  return Array.from({ length: count }, (_, i) => {
    let z = u64(seed + BigInt(i + 1) * 0x9e3779b97f4a7c15n);
    z = u64((z ^ (z >> 30n)) * 0xbf58476d1ce4e5b9n);
    z = u64((z ^ (z >> 27n)) * 0x94d049bb133111ebn);
    return z ^ (z >> 31n);
  });
}

/** FNV-1a over the UTF-8 bytes (Fowler, Noll & Vo). */
function fnv1a64(text: string): bigint {
  let hash = 0xcbf29ce484222325n;
  for (const byte of new TextEncoder().encode(text)) {
    hash = BigInt.asUintN(64, (hash ^ BigInt(byte)) * 0x100000001b3n);
  }
  return hash;
}
