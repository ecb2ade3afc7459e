import { checkScores, type Reward, RewardError, type Sample } from "./reward.ts";

/** How {@linkcode HttpReward} asks. */
export interface HttpOptions {
  /** Milliseconds that one answer may take, its body included (default 30000). */
  timeoutMs?: number;
  /** How often a request is sent again after a failure that may pass (default 4). */
  retries?: number;
  /** Milliseconds before it is sent again the first time; doubled each time (default 500). */
  backoffMs?: number;
  /** Samples of one request, at most (default 32). */
  batchSize?: number;
  /** Requests at the same time, at most (default 4). */
  concurrency?: number;
  /** Sent along with every request, such as `Authorization`. */
  headers?: Readonly<Record<string, string>>;
}

/** The longest wait that is made because a service asks for it, in milliseconds. */
const LONGEST_WAIT = 5 * 60_000;

/** Answers that another try may change, beside 5xx. */
const PASSING_STATUS = [408, 425, 429];

/** Bytes of an answer that are read; the scores of a request are a few thousand. */
const LARGEST_ANSWER = 2 ** 24;

/** An answer that is longer. */
export class LargeAnswer extends Error {
  override message = `its answer is longer than ${LARGEST_ANSWER} bytes`;
}

/** A failure that may pass. */
class PassingFault extends Error {
  /** @param waitMs Milliseconds that the service wants to be left alone. */
  constructor(message: string, readonly waitMs = 0) {
    super(message);
  }
}

/**
 * Scores by a service of one's own. What is sent, by POST, as JSON:
 *
 *     { "samples": [{ "prompt": "...", "response": "...", "text": "...", "ended": true }, ...] }
 *
 * and what is expected in answer, one finite number per sample, in their order:
 *
 *     { "scores": [0.5, ...] }
 *
 * A request is sent again when the service cannot be reached, breaks off, takes too long, or answers with
 * status 408, 425, 429 or 5xx; after 429 and 503 no sooner than `Retry-After` says. Other answers are
 * errors at once: a service that says nonsense would say it again. A name and password in the URL are sent
 * as basic authorization; messages show neither them nor the query.
 */
export class HttpReward implements Reward {
  readonly name = "http";
  readonly #url: URL;
  readonly #headers: Headers;
  readonly #options: Required<Omit<HttpOptions, "headers">>;

  /**
   * Asks the server at `url`; nothing is sent before the first scores are wanted.
   *
   * @throws {RewardError} If the URL is none, or not of http or https.
   * @throws {RangeError} If an option is not a whole number, or too small.
   */
  constructor(url: string | URL, { headers = {}, ...options }: HttpOptions = {}) {
    this.#url = parseUrl(url);
    this.#headers = new Headers({ "Content-Type": "application/json", ...headers });
    const { username, password } = this.#url;
    if (username || password) {
      const pair = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
      const base64 = new TextEncoder().encode(pair).toBase64();
      this.#headers.set("Authorization", `Basic ${base64}`);
      this.#url.username = this.#url.password = ""; // fetch refuses a URL that has them
    }
    this.#options = {
      timeoutMs: 30_000,
      retries: 4,
      backoffMs: 500,
      batchSize: 32,
      concurrency: 4,
      ...options,
    };
    for (const [name, value] of Object.entries(this.#options)) {
      const least = name === "retries" || name === "backoffMs" ? 0 : 1;
      if (Number.isInteger(value) && value >= least) continue;
      throw new RangeError(
        `Cannot use ${name} ${value} of the reward http: it must be a whole number of ${least} or more`,
      );
    }
  }

  /** (B) scores. */
  async score(samples: readonly Sample[]): Promise<number[]> {
    const { batchSize, concurrency } = this.#options;
    const scores: number[] = Array(samples.length);
    const stop = new AbortController();
    let next = 0;
    const worker = async () => {
      while (next < samples.length && !stop.signal.aborted) {
        const start = next;
        next += batchSize;
        try {
          const batch = samples.slice(start, next);
          const where = `samples ${start} to ${start + batch.length - 1} of ${samples.length}`;
          scores.splice(start, batch.length, ...await this.#scoresOf(batch, where, stop.signal));
        } catch (error) {
          stop.abort(error); // keeps the first
        }
      }
    };
    await Promise.all(Array.from({ length: concurrency }, worker));
    stop.signal.throwIfAborted();
    checkScores(this.#label, samples, scores);
    return scores;
  }

  /** What messages call the reward. */
  get #label(): string {
    return `${this.name} at ${this.#place}`;
  }

  /** The URL without its query, which may hold a key. */
  get #place(): string {
    return this.#url.origin + this.#url.pathname;
  }

  /** The scores of one request, sent as often as it takes. */
  async #scoresOf(
    samples: readonly Sample[],
    where: string,
    stop: AbortSignal,
  ): Promise<number[]> {
    const { retries, backoffMs } = this.#options;
    for (let tries = 1;; tries++) {
      try {
        return scoresIn(await this.#post({ samples }, stop), samples.length);
      } catch (error) {
        stop.throwIfAborted();
        const { message } = error as Error;
        const again = error instanceof PassingFault && tries <= retries &&
          error.waitMs <= LONGEST_WAIT;
        if (!again) {
          const times = tries > 1 ? `, ${tries} times` : "";
          throw new RewardError(
            `Cannot use the reward ${this.#label}: for ${where} ${message}${times}`,
          );
        }
        await wait(Math.max(error.waitMs, backoffMs * 2 ** (tries - 1)), stop);
      }
    }
  }

  /** The body of the answer to one request. */
  async #post(content: unknown, stop: AbortSignal): Promise<string> {
    const { timeoutMs } = this.#options;
    const late = AbortSignal.timeout(timeoutMs);
    let response: Response;
    let body: string;
    try {
      response = await fetch(this.#url, {
        method: "POST",
        headers: this.#headers,
        body: JSON.stringify(content),
        signal: AbortSignal.any([stop, late]),
      });
      body = await readText(response);
    } catch (error) {
      if (late.aborted) throw new PassingFault(`it did not answer within ${timeoutMs} ms`);
      if (error instanceof LargeAnswer) throw error;
      const { name, message } = error as Error;
      if (name === "NotCapable") {
        throw new Error(`Deno may not reach it; start it with --allow-net=${this.#url.host}`);
      }
      throw new PassingFault(`it broke off (${message.replaceAll(this.#url.href, this.#place)})`);
    }
    const { ok, status, headers } = response;
    if (ok) return body;
    const problem = `it answered with status ${status} ${excerpt(body)}`;
    if (status < 500 && !PASSING_STATUS.includes(status)) throw new Error(problem);
    const waitMs = status === 429 || status === 503 ? retryAfterMs(headers) : 0;
    const hint = waitMs > LONGEST_WAIT ? ` and wants to be asked again in ${waitMs / 1000} s` : "";
    throw new PassingFault(problem + hint, waitMs);
  }
}

/** The body of an answer; one that would never end is left off. */
export async function readText(response: Response): Promise<string> {
  const decoder = new TextDecoder();
  let [text, bytes] = ["", 0];
  for await (const piece of response.body ?? []) {
    bytes += piece.length;
    if (bytes > LARGEST_ANSWER) throw new LargeAnswer();
    text += decoder.decode(piece, { stream: true });
  }
  return text + decoder.decode();
}

/** The scores in an answer; whether they are numbers is not looked at. */
function scoresIn(body: string, count: number): number[] {
  let answer: { scores?: unknown } | null;
  try {
    answer = JSON.parse(body);
  } catch {
    throw new Error(`its answer is not JSON: ${excerpt(body)}`);
  }
  const scores = answer?.scores;
  if (!Array.isArray(scores)) {
    throw new Error(`its answer has no list of scores: ${excerpt(body)}`);
  }
  if (scores.length !== count) throw new Error(`it gave ${scores.length} scores`);
  return scores;
}

/** Whether a text is meant as the URL of a service. */
export function isHttpUrl(text: string): boolean {
  return /^https?:/i.test(text);
}

function parseUrl(text: string | URL): URL {
  const url = URL.parse(text);
  if (url?.protocol === "http:" || url?.protocol === "https:") return url;
  throw new RewardError(
    "Cannot use the reward http: its URL is not one of http or https; write it in full, such as " +
      "http://127.0.0.1:8000/score",
  );
}

/** What `Retry-After` asks for, in milliseconds: it holds seconds or a date (RFC 9110, section 10.2.3). */
function retryAfterMs(headers: Headers): number {
  const value = headers.get("Retry-After") ?? "";
  const ms = /^\d+$/.test(value) ? 1000 * Number(value) : Date.parse(value) - Date.now();
  return Math.max(0, ms || 0);
}

/** Resolves after some milliseconds; throws the reason when it is told to stop. */
async function wait(ms: number, stop: AbortSignal): Promise<void> {
  const { promise, resolve } = Promise.withResolvers<void>();
  const timer = setTimeout(resolve, ms);
  stop.addEventListener("abort", () => resolve());
  await promise;
  clearTimeout(timer);
  stop.throwIfAborted();
}

/** The beginning of a text, for messages. */
function excerpt(text: string): string {
  return JSON.stringify(text.length > 80 ? `${text.slice(0, 80)}...` : text);
}
