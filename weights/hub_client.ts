/**
 * Requests to the Hub: token, redirects, retries, time-outs, and errors that say what to do.
 *
 * `@huggingface/hub` is not used. Of its calls this needs only "what is this file" and "its bytes", and there it
 * neither retries, nor resumes, nor bounds a silence, nor checks what arrived; around it all of this would be
 * written anyway. The same two requests are what every mirror of the Hub answers.
 */

import { setTimeout as sleep } from "node:timers/promises";
import { brokenOff, HubError, notAHub, refusal, unreachable } from "./hub_errors.ts";
import type { HubName } from "./hub_name.ts";
import { HUB, type HubOptions, readToken } from "./hub_options.ts";

/** Requests that fail are repeated this often. */
const RETRIES = 4;

/** A server that asks for a longer pause gets its error reported instead. */
const LONGEST_PAUSE_MS = 300_000;

const REDIRECTS = 5;

/** What the Hub says of a file without sending it. */
export interface RemoteFile {
  /** Its path in the repository. */
  name: string;
  /** The commit that the revision stands for. */
  commit: string;
  /** SHA-256 of a large file, git's SHA-1 of a small one; names it in the cache. */
  etag: string;
  sizeBytes: number;
}

/** Asks one endpoint for the files of one repository at one revision. */
export class HubClient {
  readonly #options: HubOptions;
  readonly #name: HubName;
  readonly #token: string | undefined;
  readonly #endpoint: string;
  /** A server that never answered is not there; one that did has a hiccup. */
  #answered = false;
  #movedTo: string | undefined;

  private constructor(name: HubName, options: HubOptions, token: string | undefined) {
    this.#name = name;
    this.#options = options;
    this.#token = token;
    this.#endpoint = (options.endpoint ?? HUB).replace(/\/+$/, "");
    const url = URL.parse(this.#endpoint);
    const shown = this.#endpoint.replace(/^.*@/, "…@"); // what stands before it is no message's business
    if (url?.username || url?.password) {
      const problem = "it holds a name or password; take them out, and give a token with HF_TOKEN";
      throw new HubError("refused", `Cannot use the endpoint ${shown}: ${problem}`);
    }
    if (!/^https?:$/.test(url?.protocol ?? "")) {
      const problem = "it is no address of a server; write it as https://host";
      throw new HubError("unreachable", `Cannot use the endpoint ${shown}: ${problem}`);
    }
    if (/[^!-~]/.test(token ?? "")) {
      const problem = "it has characters that no token has; copy it again";
      throw new HubError("refused", `Cannot use the access token: ${problem}`);
    }
  }

  /**
   * A client; reads the file of the token where that is where it lies.
   *
   * @throws {HubError} If the endpoint or the token cannot be one.
   */
  static async open(name: HubName, options: HubOptions): Promise<HubClient> {
    return new HubClient(name, options, await readToken(options));
  }

  /** The Hub's host, for messages. */
  get host(): string {
    return new URL(this.#endpoint).host;
  }

  /** The id that the Hub answered under, where it is not the one that was asked for. */
  get movedTo(): string | undefined {
    return this.#movedTo;
  }

  /** Longest silence of the server, in ms. */
  get timeoutMs(): number {
    return this.#options.timeoutMs ?? 10_000;
  }

  /**
   * What the Hub knows of a file; undefined where the repository has no such file.
   *
   * @throws {HubError} If the Hub cannot be reached or refuses.
   */
  async describe(
    name: string,
    { revision = this.#name.revision, signal }: { revision?: string; signal?: AbortSignal } = {},
  ): Promise<RemoteFile | undefined> {
    const url = this.#urlOf(name, revision);
    const answer = await this.#request(url, { method: "HEAD", revision, signal });
    const { headers, status } = answer;
    if (status === 404) return undefined;
    const etag = unquoted(headers.get("x-linked-etag") ?? headers.get("etag"));
    const commit = headers.get("x-repo-commit");
    const size = headers.get("x-linked-size") ??
      (status < 300 ? headers.get("content-length") : null);
    // These become names of files and numbers of bytes.
    if (
      etag === undefined || commit === null || !/^[0-9a-f]{40}$/.test(commit) ||
      size === null || !/^\d+$/.test(size)
    ) {
      throw notAHub(url.href);
    }
    return { name, commit, etag, sizeBytes: Number(size) };
  }

  /**
   * The bytes of a file from `from` on: status 206, or 200 and all of them.
   *
   * @throws {HubError} If the Hub cannot be reached or refuses.
   */
  async download(
    { name, commit }: RemoteFile,
    { from, signal }: { from: number; signal: AbortSignal },
  ): Promise<Response> {
    const range = from > 0 ? `bytes=${from}-` : undefined;
    const url = this.#urlOf(name, commit);
    return await this.#request(url, { method: "GET", range, signal, revision: commit });
  }

  /** Waits before the retry after `failures` failures, with back-off. */
  async pause(
    failures: number,
    { atLeastMs = 0, signal }: { atLeastMs?: number; signal?: AbortSignal | undefined } = {},
  ): Promise<void> {
    const backoffMs = (this.#options.retryMs ?? 1000) * 2 ** (failures - 1);
    await sleep(Math.max(backoffMs, atLeastMs), undefined, signal && { signal });
  }

  /** Whether a request that has failed so often is to be given up. */
  isHopeless(failures: number): boolean {
    return failures > RETRIES || !this.#answered;
  }

  /** The error of a request that got no answer, or of an answer that broke off. */
  unreachable(error: unknown): HubError {
    const { id } = this.#name;
    return this.#answered ? brokenOff(error, this.host, id) : unreachable(error, this.host, id);
  }

  #urlOf(file: string, revision: string): URL {
    const path = file.split("/").map(encodeURIComponent).join("/");
    return new URL(
      `${this.#endpoint}/${this.#name.id}/resolve/${encodeURIComponent(revision)}/${path}`,
    );
  }

  async #request(url: URL, request: HubRequest): Promise<Response> {
    for (let failures = 1;; failures++) {
      let answer: Response;
      try {
        answer = await this.#follow(url, request);
      } catch (error) {
        request.signal?.throwIfAborted();
        if (this.isHopeless(failures)) throw this.unreachable(error);
        await this.pause(failures, request);
        continue;
      }
      this.#answered = true;
      if (isWanted(answer)) return answer;
      await answer.body?.cancel();
      const pauseMs = requestedPauseMs(answer);
      if (!isTransient(answer) || this.isHopeless(failures) || pauseMs > LONGEST_PAUSE_MS) {
        const { id } = this.#name;
        const endpoint = this.#endpoint;
        const token = this.#token !== undefined;
        throw refusal(answer, { endpoint, id, revision: request.revision, token });
      }
      if (pauseMs > 5000) {
        this.#options.say?.(`${this.host} asks to wait ${Math.ceil(pauseMs / 1000)} s`);
      }
      await this.pause(failures, { ...request, atLeastMs: pauseMs });
    }
  }

  /**
   * Follows redirects by hand, so that the token goes to the endpoint's own origin and nowhere else.
   *
   * A HEAD need not leave the Hub, which describes a file in the redirect to the host that has it.
   */
  async #follow(start: URL, request: HubRequest): Promise<Response> {
    let url = start;
    for (let hops = 0; hops < REDIRECTS; hops++) {
      const answer = await this.#send(url, request);
      const location = answer.headers.get("location");
      if (answer.status < 300 || answer.status >= 400 || location === null) return answer;
      const next = new URL(location, url);
      const leaves = next.origin !== url.origin;
      if (leaves && request.method === "HEAD" && answer.headers.has("x-linked-etag")) return answer;
      await answer.body?.cancel();
      if (!leaves) this.#noteMove(next);
      url = next;
    }
    throw new Error(`${start} redirects more than ${REDIRECTS} times`);
  }

  async #send(url: URL, { method, range, signal }: HubRequest): Promise<Response> {
    const headers = new Headers({ "accept-encoding": "identity" }); // sizes and ranges are of plain bytes
    if (range) headers.set("range", range);
    const isHub = url.origin === new URL(this.#endpoint).origin;
    if (this.#token && isHub) headers.set("authorization", `Bearer ${this.#token}`);
    const silence = new AbortController();
    const timer = setTimeout(() => silence.abort(silent(this.timeoutMs)), this.timeoutMs);
    const ends = AbortSignal.any([silence.signal, ...(signal ? [signal] : [])]);
    try {
      return await fetch(url, { method, headers, redirect: "manual", signal: ends });
    } finally {
      clearTimeout(timer); // the body has a watch of its own
    }
  }

  /** A repository that was renamed answers under its new name. */
  #noteMove(url: URL): void {
    const base = new URL(this.#endpoint).pathname.replace(/\/$/, "");
    const [, id] = /^\/((?:[^/]+\/)?[^/]+)\/resolve\//.exec(url.pathname.slice(base.length)) ?? [];
    if (id !== undefined && id !== this.#name.id) this.#movedTo = id;
  }
}

interface HubRequest {
  method: "HEAD" | "GET";
  range?: string | undefined;
  signal?: AbortSignal | undefined;
  revision: string;
}

/** An answer for the caller to look at; everything else is an error or is tried again. */
function isWanted({ status, headers }: Response): boolean {
  if (status < 400) return true;
  return status === 404 && headers.get("x-error-code") === "EntryNotFound";
}

function isTransient({ status }: Response): boolean {
  return status === 408 || status === 429 || status >= 500;
}

/**
 * How long the server asks to wait, in ms: `Retry-After`, in seconds or as a date; or what the Hub sends when there
 * were too many requests, `RateLimit: "api";r=0;t=55` (draft-ietf-httpapi-ratelimit-headers-09).
 */
function requestedPauseMs({ status, headers }: Response): number {
  const after = headers.get("retry-after");
  if (after !== null) {
    const ms = /^\d+$/.test(after) ? Number(after) * 1000 : Date.parse(after) - Date.now();
    return Number.isNaN(ms) ? 0 : Math.max(0, ms);
  }
  const [, seconds] = /;\s*t=(\d+)/.exec(headers.get("ratelimit") ?? "") ?? [];
  return status === 429 ? Number(seconds ?? 0) * 1000 : 0;
}

/** `W/"abc"` -> `abc`; undefined for what cannot name a file. */
function unquoted(etag: string | null): string | undefined {
  return /^(?:W\/)?"?(\w[\w.-]*)"?$/.exec(etag ?? "")?.[1];
}

/** The error of a server that fell silent. */
export function silent(timeoutMs: number): DOMException {
  return new DOMException(`it said nothing for ${timeoutMs / 1000} s`, "TimeoutError");
}
