import type { Rng } from "../../train/rng.ts";

/** Values that programs are not ready for, in place of any value of a JSON file. */
const NASTY: readonly unknown[] = [
  null,
  true,
  0,
  -1,
  1,
  0.5,
  1e15,
  2 ** 53,
  2 ** 63,
  2 ** 64,
  1e308,
  -1e-308,
  "",
  "0",
  "x".repeat(5000),
  "\0",
  "\ud800",
  "../../../../../../etc/passwd",
  "/dev/zero",
  "__proto__",
  "constructor",
  [],
  {},
  [[]],
  [{}],
  [-1],
  [1e15, 1e15],
  Array(50).fill(2 ** 32),
  { a: { b: {} } },
  { length: 1e15 },
];

/** Nested deeper than a recursive walk could go, as text. */
const DEEP = `${"[".repeat(20_000)}${"]".repeat(20_000)}`;

/** Text that means something in a JSON file or breaks it. */
const FRAGMENTS = ["{", "}", "[", "]", ",", ":", '"', "\\", "\\u0000", "null", "-", "1e999", DEEP];

/** Changes a few bytes of a file: values, places, length. */
export function mutateBytes(bytes: Uint8Array, rng: Rng): Uint8Array<ArrayBuffer> {
  let changed = Uint8Array.from(bytes);
  for (let n = 1 + rng.int(3); n > 0 && changed.length > 0; n--) {
    const at = rng.int(changed.length);
    const length = 1 + rng.int(Math.min(64, changed.length - at));
    switch (rng.int(6)) {
      case 0:
        changed[at] = rng.int(256);
        break;
      case 1:
        changed[at] ^= 1 << rng.int(8);
        break;
      case 2:
        changed = changed.slice(0, at);
        break;
      case 3: // cut a piece out
        changed = splice(changed, at, length, new Uint8Array());
        break;
      case 4: // twice the same
        changed = splice(changed, at, 0, changed.slice(at, at + length));
        break;
      case 5:
        changed = splice(changed, at, 0, new TextEncoder().encode(pick(FRAGMENTS, rng)));
    }
  }
  return changed;
}

/**
 * Changes a JSON file so that it stays one: a value elsewhere in it becomes a nasty one, a key goes, comes twice, or
 * gets another name.
 *
 * @param within Changes only what is at this path or below it.
 */
export function mutateJson(json: string, rng: Rng, within: readonly string[] = []): string {
  const root = JSON.parse(json);
  let holder = { root };
  let key = "root";
  for (const step of within) [holder, key] = [holder[key as "root"], step];
  // Goes down from there, and stops at random.
  for (;;) {
    const value = holder[key as "root"];
    if (typeof value !== "object" || value === null || rng.int(4) === 0) break;
    const keys = Object.keys(value);
    if (keys.length === 0) break;
    [holder, key] = [value, pick(keys, rng)];
  }
  const mark = "\u0001here\u0001";
  switch (rng.int(8)) {
    case 0:
      delete (holder as Record<string, unknown>)[key];
      return JSON.stringify(root ?? null);
    case 1:
      (holder as Record<string, unknown>)[pick(["__proto__x", "", "x", `${key}x`], rng)] =
        holder[key as "root"];
      return JSON.stringify(root);
    case 2:
      (holder as Record<string, unknown>)[key] = mark;
      return JSON.stringify(root).replace(JSON.stringify(mark), () => DEEP);
    default:
      (holder as Record<string, unknown>)[key] = pick(NASTY, rng);
      return JSON.stringify(root);
  }
}

function pick<T>(values: readonly T[], rng: Rng): T {
  return values[rng.int(values.length)];
}

function splice(bytes: Uint8Array, at: number, cut: number, put: Uint8Array) {
  const spliced = new Uint8Array(bytes.length - cut + put.length);
  spliced.set(bytes.subarray(0, at));
  spliced.set(put, at);
  spliced.set(bytes.subarray(at + cut), at + put.length);
  return spliced;
}
