import type { Gpu } from "./gpu.ts";
import { type Dtype, sizeOf, Tensor } from "./tensor.ts";

/**
 * Memory for activations: named slots, a buffer each, kept from step to step.
 *
 * A slot grows when a larger shape is asked of it and never shrinks, so a loop over batches of like shapes
 * allocates only in its first round, and one whose largest shapes were reserved not at all. Taking a slot again overwrites what it held; that is how layers share
 * scratch memory. (A buffer per slot, since one dispatch may not read and write the same buffer.)
 */
export class Arena implements Disposable {
  readonly #slots = new Map<string, Tensor<Dtype>>();

  /** An arena without slots. */
  constructor(readonly gpu: Gpu, readonly label: string) {}

  /** The slot `name` as a tensor of `shape`; its contents are unspecified. */
  take<D extends Dtype = "f32">(
    name: string,
    shape: readonly number[],
    dtype: D = "f32" as D,
  ): Tensor<D> {
    return new Tensor(this.#slot(name, sizeOf(shape)).storage, 0, shape, dtype);
  }

  /** Makes slots as large as given, in bytes by name, so that they need not grow when they are taken. */
  reserve(slotBytes: ReadonlyMap<string, number>): void {
    for (const [name, bytes] of slotBytes) this.#slot(name, Math.ceil(bytes / 4));
  }

  /** Bytes of every slot by name. */
  get slotBytes(): ReadonlyMap<string, number> {
    return new Map(this.#slots.entries().map(([name, { storage }]) => [name, storage.bytes]));
  }

  /** The slot `name` with room for `size` elements. */
  #slot(name: string, size: number): Tensor<Dtype> {
    const slot = this.#slots.get(name);
    if (slot && slot.storage.bytes >= 4 * size) return slot;
    if (slot) this.gpu.retire(slot);
    const grown = this.gpu.empty([size], "f32", `${this.label}.${name}`);
    this.#slots.set(name, grown);
    return grown;
  }

  /** Frees every slot. */
  [Symbol.dispose](): void {
    this.gpu.free(...this.#slots.values());
    this.#slots.clear();
  }
}
