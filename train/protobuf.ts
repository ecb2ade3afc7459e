/**
 * Writes protocol buffer messages field by field, as much of the wire format as event files need.
 *
 * Source: https://protobuf.dev/programming-guides/encoding/
 */
export class MessageWriter {
  readonly #bytes: number[] = [];
  readonly #scratch = new DataView(new ArrayBuffer(8));

  /** A whole number from 0 to 2^53, as `int64`. */
  int(field: number, value: number): this {
    this.#tag(field, 0);
    this.#varint(value);
    return this;
  }

  /** 32 bits. */
  float(field: number, value: number): this {
    this.#tag(field, 5);
    this.#scratch.setFloat32(0, value, true);
    return this.#raw(4);
  }

  /** 64 bits. */
  double(field: number, value: number): this {
    this.#tag(field, 1);
    return this.#double(value);
  }

  /** A repeated `double`, packed. */
  doubles(field: number, values: readonly number[]): this {
    this.#tag(field, 2);
    this.#varint(8 * values.length);
    for (const value of values) this.#double(value);
    return this;
  }

  /** UTF-8. */
  text(field: number, value: string): this {
    return this.bytes(field, new TextEncoder().encode(value));
  }

  /** A message within the message. */
  message(field: number, message: MessageWriter): this {
    return this.bytes(field, message.#bytes);
  }

  /** Bytes, with their number before them. */
  bytes(field: number, value: ArrayLike<number>): this {
    this.#tag(field, 2);
    this.#varint(value.length);
    for (let i = 0; i < value.length; i++) this.#bytes.push(value[i]);
    return this;
  }

  /** The message. */
  finish(): Uint8Array<ArrayBuffer> {
    return Uint8Array.from(this.#bytes);
  }

  #tag(field: number, wireType: number): void {
    this.#varint(field * 8 + wireType);
  }

  #double(value: number): this {
    this.#scratch.setFloat64(0, value, true);
    return this.#raw(8);
  }

  #raw(count: number): this {
    for (let i = 0; i < count; i++) this.#bytes.push(this.#scratch.getUint8(i));
    return this;
  }

  /** Seven bits a byte, the lowest first; numbers above 32 bits rule out bit operators. */
  #varint(value: number): void {
    for (; value >= 128; value = Math.floor(value / 128)) this.#bytes.push(value % 128 + 128);
    this.#bytes.push(value);
  }
}
