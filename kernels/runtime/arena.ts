import type { Gpu } from "./gpu.ts";
import { type Dtype, sizeOf, Tensor } from "./tensor.ts";

/**
 * Memory for activations: named slots, a buffer each, kept from step to step.
 *
 * A slot grows when a larger shape is asked of it and never shrinks, so a loop over batches of like shapes
 * allocates only in its first round. Taking a slot again overwrites what it held; that is how layers share
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
    let slot = this.#slots.get(name);
    if (!slot || slot.storage.bytes < 4 * sizeOf(shape)) {
      if (slot) this.gpu.retire(slot);
      slot = this.gpu.empty(shape, dtype, `${this.label}.${name}`);
      this.#slots.set(name, slot);
    }
    return new Tensor(slot.storage, 0, shape, dtype);
  }

  /** Bytes of every slot by name. */
  get slotBytes(): ReadonlyMap<string, number> {
    return new Map(this.#slots.entries().map(([name, { storage }]) => [name, storage.bytes]));
  }

  /** Frees every slot. */
  [Symbol.dispose](): void {
    this.gpu.free(...this.#slots.values());
    this.#slots.clear();
  }
}
