import type { GpuWatcher, SubmittedPass } from "../kernels/runtime/mod.ts";
import type { SentinelMessage } from "./sentinel_worker.ts";

/** How long to wait for the GPU, and what to say to who waits in vain. */
export interface SentinelOptions {
  /** Seconds that one wait may take; 0 for no limit. */
  gpuTimeout: number;
  /** What to do when the run was ended, as the end of a sentence. */
  advice: string;
}

/** Exit status by convention: 128 and the signal's number. */
const STATUS: Partial<Record<Deno.Signal, number>> = { SIGINT: 130, SIGTERM: 143 };

/**
 * Stays awake while the program's thread is blocked, as Deno blocks it in every wait for the GPU.
 *
 * A worker of its own listens for SIGINT and SIGTERM: the first asks the program to stop after its step, a second one
 * ends it at once, even in a wait. As a watcher of the Gpu it ends the program when a wait takes too long, and
 * says which kernels were running; nothing else can be done about a wait inside of Deno.
 */
export class Sentinel implements GpuWatcher, Disposable {
  readonly #worker: Worker;
  readonly #stop = new AbortController();
  readonly #watches: boolean;
  #status = 0;
  /** What the worker knows of, and how many of them. */
  #known: readonly SubmittedPass[] = [];
  #knownCount = 0;

  constructor(options: SentinelOptions) {
    this.#watches = options.gpuTimeout > 0;
    this.#worker = new Worker(new URL("./sentinel_worker.ts", import.meta.url), { type: "module" });
    this.#worker.onmessage = ({ data }: MessageEvent<Deno.Signal>) => {
      this.#status = STATUS[data] ?? 1;
      this.#stop.abort();
    };
    this.#send({ options });
  }

  /** Aborted by the first signal. */
  get stop(): AbortSignal {
    return this.#stop.signal;
  }

  /** What a program that was asked to stop exits with; 0 before. */
  get status(): number {
    return this.#status;
  }

  /** Starts the clock. Only passes that are new go to the worker: to send one takes 0.1 ms. */
  waitBegins(passes: readonly SubmittedPass[]): void {
    if (!this.#watches) return;
    const isAnother = passes !== this.#known;
    this.#send({ begins: passes.slice(isAnother ? 0 : this.#knownCount), isAnother });
    this.#known = passes;
    this.#knownCount = passes.length;
  }

  /** Stops it. */
  waitEnds(): void {
    if (this.#watches) this.#send("ends");
  }

  #send(message: SentinelMessage): void {
    this.#worker.postMessage(message);
  }

  /** Signals do again what they do by default. */
  [Symbol.dispose](): void {
    this.#worker.terminate();
  }
}
