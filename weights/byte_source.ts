/** Bytes that are read from any place in them: those of a file, or some that are in memory. */

/** Where a file format finds its bytes. */
export interface ByteSource {
  /** Bytes in all. */
  readonly size: number;
  /** Fills `bytes` from a place on; returns how many bytes there were, fewer only at the end. */
  readAt(offset: number, bytes: Uint8Array): Promise<number>;
  /** Releases what it holds. */
  close(): void;
}

/** The bytes of an open file. */
export class FileSource implements ByteSource {
  /** Reads share the file's position, so each waits for the one before it. */
  #turn: Promise<unknown> = Promise.resolve();

  private constructor(readonly file: Deno.FsFile, readonly size: number) {}

  /**
   * Opens a file.
   *
   * @throws {Deno.errors.NotFound} If there is none.
   */
  static async open(path: string): Promise<FileSource> {
    const file = await Deno.open(path);
    try {
      const { size } = await file.stat();
      return new FileSource(file, size);
    } catch (error) {
      file.close();
      throw error;
    }
  }

  readAt(offset: number, bytes: Uint8Array): Promise<number> {
    const result = this.#turn.then(async () => {
      await this.file.seek(offset, Deno.SeekMode.Start);
      return await readFull(this.file, bytes);
    });
    this.#turn = result.catch(() => {});
    return result;
  }

  close(): void {
    this.file.close();
  }
}

/** Bytes in memory, such as those of a download. */
export class MemorySource implements ByteSource {
  /** Keeps `bytes`, which are not copied. */
  constructor(readonly bytes: Uint8Array) {}

  get size(): number {
    return this.bytes.length;
  }

  readAt(offset: number, bytes: Uint8Array): Promise<number> {
    const found = this.bytes.subarray(offset, offset + bytes.length);
    bytes.set(found);
    return Promise.resolve(found.length);
  }

  close(): void {}
}

/** Fills `bytes` from the file's position; returns how many bytes the file still had. */
async function readFull(file: Deno.FsFile, bytes: Uint8Array): Promise<number> {
  let done = 0;
  while (done < bytes.length) {
    const count = await file.read(bytes.subarray(done));
    if (count === null) break;
    done += count;
  }
  return done;
}
