import type { LiveCommand, LiveEvent } from "./live_protocol.ts";
import type { FromLiveWorker, ToLiveWorker } from "./live_worker.ts";

/** The live page cannot be shown. */
export class LivePageError extends Error {
  override name = "LivePageError";
}

/**
 * The live page, served on 127.0.0.1 by a thread of its own, so that it answers while the GPU is waited for.
 *
 * Needs net permission for 127.0.0.1.
 */
export class LivePage implements AsyncDisposable {
  readonly #worker: Worker;
  readonly #commands: LiveCommand[] = [];
  #wake: () => void = () => {};

  private constructor(worker: Worker, readonly url: string) {
    this.#worker = worker;
    worker.addEventListener("message", ({ data }: MessageEvent<FromLiveWorker>) => {
      if (!("command" in data)) return;
      this.#commands.push(data.command);
      this.#wake();
    });
  }

  /**
   * Starts to serve. The address has a fresh token; who knows it may steer.
   *
   * @param options.port 0, the default, takes any free port.
   * @param options.steerable Whether the page takes commands (default true).
   * @throws {LivePageError} If the port is taken, or net permission is missing.
   */
  static async open({ port = 0, steerable = true } = {}): Promise<LivePage> {
    const worker = new Worker(new URL("./live_worker.ts", import.meta.url), { type: "module" });
    const token = crypto.getRandomValues(new Uint8Array(18)).toBase64({ alphabet: "base64url" });
    const answer = new Promise<FromLiveWorker>((resolve, reject) => {
      worker.addEventListener("message", ({ data }) => resolve(data), { once: true });
      worker.addEventListener("error", (event) => {
        event.preventDefault();
        reject(new LivePageError(`Cannot show the live page: ${event.message}`));
      }, { once: true });
    });
    worker.postMessage({ open: { port, token, steerable } } satisfies ToLiveWorker);
    const opened = await answer;
    if ("url" in opened) return new LivePage(worker, opened.url);
    worker.terminate();
    const reason = "failed" in opened ? opened.failed : "its thread did not start";
    throw new LivePageError(
      `Cannot show the live page on port ${port}: ${reason}; choose another port`,
    );
  }

  /** Tells every viewer, and those who come later. */
  push(event: LiveEvent): void {
    this.#worker.postMessage({ push: event } satisfies ToLiveWorker);
  }

  /** The commands since the last call, oldest first. Lets the event loop turn once, so that none waits. */
  async takeCommands(): Promise<LiveCommand[]> {
    await new Promise((resolve) => setTimeout(resolve));
    return this.#commands.splice(0);
  }

  /** Resolves when there is a command to take. */
  async waitForCommand(): Promise<void> {
    if (this.#commands.length > 0) return;
    await new Promise<void>((resolve) => this.#wake = resolve);
  }

  /** Ends all streams and the thread. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = new Promise<void>((resolve) => {
      this.#worker.addEventListener("message", ({ data }) => "closed" in data && resolve());
    });
    this.#worker.postMessage({ close: true } satisfies ToLiveWorker);
    await closed;
    this.#worker.terminate();
  }
}
