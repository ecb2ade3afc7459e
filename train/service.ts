/** Requests to a service that keeps metrics. */

import { LargeAnswer, readText } from "../reward/http.ts";

/** A request that failed. */
export class ServiceFault extends Error {
  override name = "ServiceFault";

  /**
   * @param mayPass Whether another try may go better.
   * @param status Of the answer, if there was one.
   */
  constructor(message: string, readonly mayPass: boolean, readonly status?: number) {
    super(message);
  }
}

/** Answers that another try may change, beside 5xx. */
const PASSING_STATUS = [408, 425, 429];

/** How a {@linkcode Service} is asked. */
export interface ServiceOptions {
  /** Sent along with every request. */
  headers?: Readonly<Record<string, string>>;
  /** Milliseconds that one answer may take (default 10000). */
  timeoutMs?: number | undefined;
}

/**
 * A service that takes and gives JSON.
 *
 * Redirects are not followed, so that what authorises a request goes to no other host. Messages show addresses without
 * their query, and nothing of headers.
 */
export class Service {
  readonly #base: URL;
  readonly #headers: Headers;
  readonly #timeoutMs: number;

  /** @param url Its address; requests go to paths below it. */
  constructor(url: string, { headers = {}, timeoutMs = 10_000 }: ServiceOptions = {}) {
    this.#base = new URL(url.endsWith("/") ? url : `${url}/`);
    this.#headers = new Headers({ "Content-Type": "application/json", ...headers });
    this.#timeoutMs = timeoutMs;
  }

  /** Where it is, for messages. */
  get place(): string {
    return this.#base.origin + this.#base.pathname.replace(/\/$/, "");
  }

  /**
   * The answer to a request: by POST where there is a body, else by GET.
   *
   * @param path Below the service's address, perhaps with a query.
   * @throws {ServiceFault} If there is no answer, or not one that is JSON with a status of success.
   */
  async ask(path: string, { body, stop }: { body?: unknown; stop: AbortSignal }): Promise<unknown> {
    const late = AbortSignal.timeout(this.#timeoutMs);
    let response: Response;
    let text: string;
    try {
      response = await fetch(new URL(path, this.#base), {
        headers: this.#headers,
        redirect: "manual",
        signal: AbortSignal.any([stop, late]),
        ...(body !== undefined && { method: "POST", body: JSON.stringify(body) }),
      });
      text = await readText(response);
    } catch (error) {
      if (late.aborted) {
        throw new ServiceFault(`it did not answer within ${this.#timeoutMs} ms`, true);
      }
      if ((error as Error).name === "NotCapable") {
        const problem = `Deno may not reach it; start it with --allow-net=${this.#base.host}`;
        throw new ServiceFault(problem, false);
      }
      if (error instanceof LargeAnswer) throw new ServiceFault(error.message, false);
      throw new ServiceFault("it cannot be reached, or breaks off", true);
    }
    const { ok, status } = response;
    if (!ok) {
      const mayPass = status >= 500 || PASSING_STATUS.includes(status);
      throw new ServiceFault(`it answered with status ${status}`, mayPass, status);
    }
    try {
      return JSON.parse(text);
    } catch {
      throw new ServiceFault("its answer is not JSON", false);
    }
  }
}
