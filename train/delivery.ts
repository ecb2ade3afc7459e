/** Takes records to a service beside training, which it neither delays nor ends. */

import { ServiceFault } from "./service.ts";

/** How a {@linkcode Delivery} goes. */
export interface DeliveryOptions {
  /** Hears, once, that the service fails, and at the end what did not reach it. */
  warn?: (line: string) => void;
  /** Records of one request, at most (default 8). */
  batchSize?: number;
  /** Records that wait, at most; the oldest are given up first (default 1000). */
  capacity?: number;
  /** Milliseconds before a request is sent again; doubled each time, up to 5 s (default 500). */
  backoffMs?: number;
  /** Milliseconds that the end of training waits for what is left (default 10000). */
  flushMs?: number;
}

/** Failures of one request, one after the other, that people are told of; fewer are a hiccup. */
const WARN_AFTER = 3;

/** The longest pause between two attempts, in milliseconds. */
const LONGEST_PAUSE = 5000;

/**
 * A queue of records in front of a service that may be slow, broken or gone.
 *
 * Records go out in their order, one request at a time. A failure that may pass is tried again until the end; one that will
 * not, such as a refused token, ends the delivery. Nothing here throws.
 */
export class Delivery<Item> {
  readonly #options: Required<DeliveryOptions>;
  #waiting: Item[] = [];
  #lost = 0;
  #sent = 0;
  /** Told to people once. */
  #problem: string | undefined;
  #isRefused = false;
  /** While it works. */
  #work: { done: Promise<void>; stop: AbortController } | undefined;

  /**
   * @param label What messages call the service: "MLflow at http://127.0.0.1:5000".
   * @param send Makes the request; throws a {@linkcode ServiceFault} where the service fails.
   */
  constructor(
    readonly label: string,
    readonly send: (items: readonly Item[], signal: AbortSignal) => Promise<void>,
    { warn = () => {}, batchSize = 8, capacity = 1000, backoffMs = 500, flushMs = 10_000 }:
      DeliveryOptions = {},
  ) {
    this.#options = { warn, batchSize, capacity, backoffMs, flushMs };
  }

  /** Adds a record; it is on its way when the caller next waits for something. */
  push(item: Item): void {
    if (this.#isRefused) {
      this.#lost++;
      return;
    }
    this.#waiting.push(item);
    if (this.#waiting.length > this.#options.capacity) {
      this.#waiting.shift();
      this.#lost++;
    }
    if (this.#work) return;
    const stop = new AbortController();
    this.#work = { done: this.#deliver(stop.signal), stop };
  }

  /** Waits for what is left, no longer than `flushMs`; gives up the rest, and says so. */
  async flush(): Promise<void> {
    const work = this.#work;
    if (work) {
      const timer = setTimeout(() => work.stop.abort(), this.#options.flushMs);
      await work.done;
      clearTimeout(timer);
    }
    if (this.#lost === 0) return;
    const all = this.#lost + this.#sent;
    const reason = this.#problem === undefined ? "" : ` (${this.#problem})`;
    this.#options.warn(
      `${this.label}: ${this.#lost} of ${all} steps did not get there${reason}; metrics.jsonl has them all`,
    );
    [this.#lost, this.#sent] = [0, 0];
  }

  async #deliver(stop: AbortSignal): Promise<void> {
    const { batchSize } = this.#options;
    while (this.#waiting.length > 0) {
      const items = this.#waiting.splice(0, batchSize);
      if (await this.#sendAgainAndAgain(items, stop)) {
        this.#sent += items.length;
      } else {
        this.#lost += items.length + this.#waiting.length;
        this.#waiting = [];
      }
    }
    this.#work = undefined;
  }

  /** Whether the service took them, sooner or later. */
  async #sendAgainAndAgain(items: readonly Item[], stop: AbortSignal): Promise<boolean> {
    for (let failures = 0; !stop.aborted;) {
      try {
        await this.send(items, stop);
        return true;
      } catch (error) {
        if (stop.aborted) break;
        failures++;
        this.#isRefused = !(error instanceof ServiceFault && error.mayPass);
        if (this.#isRefused || failures === WARN_AFTER) this.#tell((error as Error).message);
        if (this.#isRefused) return false;
        await pause(Math.min(this.#options.backoffMs * 2 ** (failures - 1), LONGEST_PAUSE), stop);
      }
    }
    return false;
  }

  #tell(problem: string): void {
    if (this.#problem === undefined) {
      const next = this.#isRefused ? "no more is sent" : "it is tried again";
      this.#options.warn(`${this.label}: ${problem}; ${next}, and training goes on`);
    }
    this.#problem = problem;
  }
}

/** Resolves after some milliseconds, or when it is told to stop. */
async function pause(ms: number, stop: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  stop.addEventListener("abort", () => resolve(), { once: true });
  await promise;
  clearTimeout(timer);
}
