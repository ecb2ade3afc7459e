import { createHash } from "node:crypto";
import { GPT2 } from "./goldens.ts";

/** A repository of {@linkcode HubServer}. */
export interface Repository {
  /** What it holds at every one of its commits. */
  files: Record<string, Uint8Array<ArrayBuffer>>;
  /** Branches and tags to commits. */
  refs: Record<string, string>;
  /** Opened to those who accepted its terms: to requests with this token. */
  gatedFor?: string;
  /** The id under which it is now. */
  movedTo?: string;
}

/** A request as it arrived. */
export interface Seen {
  /** The Hub, or the host that large files come from. */
  host: "hub" | "cdn";
  method: string;
  /** Such as `/tiny/gpt2/resolve/main/config.json`. */
  path: string;
  range: string | null;
  token: string | null;
}

type Answer = Response | Promise<Response>;

/** The commit at which {@linkcode TINY} is. */
export const COMMIT = "607a30d783dfa663caf39e06633721c8d4cfcd7e";

/** Files of the tiny GPT-2 that a model is loaded from. */
export const TINY_FILES: readonly string[] = [
  "config.json",
  "generation_config.json",
  "model.safetensors",
  "tokenizer.json",
  "tokenizer_config.json",
];

/** The one that is large for the Hub. */
export const WEIGHTS = "model.safetensors";

/** The tiny GPT-2 among files that nobody should download. */
export const TINY: Repository = {
  refs: { main: COMMIT },
  files: {
    "README.md": new TextEncoder().encode("# Tiny\n"),
    "pytorch_model.bin": new Uint8Array(100),
    ...Object.fromEntries(TINY_FILES.map((name) => [name, Deno.readFileSync(`${GPT2}/${name}`)])),
  },
};

/**
 * A Hub on loopback, over real HTTP, with a second host for large files.
 *
 * Describes and sends files as huggingface.co does: a small file by a redirect within the host, a large one
 * (`.safetensors`) by a redirect to the other host, for which no token is needed.
 */
export class HubServer implements AsyncDisposable {
  /** Every request, in order of arrival. */
  readonly seen: Seen[] = [];
  /** Misbehaviour: an answer in place of the usual one, which it can also ask for and spoil. */
  fault: (seen: Seen, usual: () => Answer) => Answer | undefined = () => undefined;
  readonly #hub: Deno.HttpServer<Deno.NetAddr>;
  readonly #cdn: Deno.HttpServer<Deno.NetAddr>;

  constructor(readonly repositories: Record<string, Repository>) {
    this.#hub = this.#serve("hub", (request) => this.#answerHub(request));
    this.#cdn = this.#serve("cdn", (request) => this.#answerCdn(request));
  }

  /** What HF_ENDPOINT is set to. */
  get endpoint(): string {
    return `http://127.0.0.1:${this.#hub.addr.port}`;
  }

  /** Address of the host for large files, by another name than the Hub's. */
  get cdn(): string {
    return `http://localhost:${this.#cdn.addr.port}`;
  }

  /** Requests for the content of the file with this name, on the host that sends it. */
  downloads(name: string): Seen[] {
    const isLast = (path: string) => path.startsWith("/lfs/") || path.startsWith("/api/");
    return this.seen.filter(({ method, path }) =>
      method === "GET" && isLast(path) && path.endsWith(`/${name}`)
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.all([this.#hub.shutdown(), this.#cdn.shutdown()]);
  }

  #serve(host: Seen["host"], answer: (request: Request) => Response) {
    const onListen = () => {};
    return Deno.serve({ hostname: "127.0.0.1", port: 0, onListen }, (request) => {
      const { method, headers, url } = request;
      const seen: Seen = {
        host,
        method,
        path: new URL(url).pathname,
        range: headers.get("range"),
        token: headers.get("authorization"),
      };
      this.seen.push(seen);
      return this.fault(seen, () => answer(request)) ?? answer(request);
    });
  }

  #answerHub(request: Request): Response {
    const { pathname } = new URL(request.url);
    const [, cached, id, revision, name] =
      /^(\/api\/resolve-cache)?\/(.+?)\/resolve\/([^/]+)\/(.+)$/.exec(pathname) ?? [];
    const repository = this.repositories[id ?? ""];
    const token = request.headers.get("authorization")?.replace("Bearer ", "");
    if (repository === undefined) return refuse(token ? 404 : 401, "RepoNotFound");
    if (repository.movedTo !== undefined) {
      return redirect(307, pathname.replace(id!, repository.movedTo));
    }
    if (repository.gatedFor !== undefined && repository.gatedFor !== token) {
      return refuse(token ? 403 : 401, "GatedRepo");
    }
    const wanted = decodeURIComponent(revision!);
    const commit = repository.refs[wanted] ??
      Object.values(repository.refs).find((commit) => commit === wanted);
    if (commit === undefined) return refuse(404, "RevisionNotFound");
    const content = repository.files[decodeURIComponent(name!)];
    if (content === undefined) return refuse(404, "EntryNotFound");
    const headers = { "x-repo-commit": commit, etag: `"${gitSha1(content)}"` };
    if (name!.endsWith(".safetensors")) {
      const hash = sha256(content);
      return redirect(302, `${this.cdn}/lfs/${id}/${hash}/${name}`, {
        ...headers,
        "x-linked-etag": `"${hash}"`,
        "x-linked-size": `${content.length}`,
      });
    }
    if (!cached) return redirect(307, `/api/resolve-cache/${id}/resolve/${commit}/${name}`);
    return send(content, request, headers);
  }

  #answerCdn(request: Request): Response {
    const [, id, hash, name] = /^\/lfs\/(.+)\/(.+)\/(.+)$/.exec(new URL(request.url).pathname)!;
    const content = this.repositories[id!]!.files[name!]!;
    return send(content, request, { etag: `"${hash}"` });
  }
}

/** A refusal as the Hub words it. */
export function refuse(
  status: number,
  code: string,
  headers: Record<string, string> = {},
): Response {
  return new Response("no", { status, headers: { "x-error-code": code, ...headers } });
}

/** The first bytes of an answer, after which the connection breaks off. */
export async function cutShort(answer: Answer, bytes: number): Promise<Response> {
  const { status, headers, body } = await answer;
  const content = new Uint8Array(await new Response(body).arrayBuffer());
  const stream = new ReadableStream({
    start(controller) {
      controller.enqueue(content.subarray(0, bytes));
      controller.close();
    },
  });
  return new Response(stream, { status, headers: { ...Object.fromEntries(headers) } });
}

export function sha256(content: Uint8Array): string {
  return createHash("sha256").update(content).digest("hex");
}

/** How git names the content of a file. */
export function gitSha1(content: Uint8Array): string {
  return createHash("sha1").update(`blob ${content.length}\0`).update(content).digest("hex");
}

function send(
  content: Uint8Array<ArrayBuffer>,
  request: Request,
  headers: Record<string, string>,
): Response {
  const [, from] = /^bytes=(\d+)-$/.exec(request.headers.get("range") ?? "") ?? [];
  const start = Number(from ?? 0);
  const part = content.slice(start);
  if (start >= content.length && start > 0) return new Response(null, { status: 416 });
  const range = `bytes ${start}-${content.length - 1}/${content.length}`;
  return new Response(part, {
    status: from === undefined ? 200 : 206,
    headers: {
      ...headers,
      "content-length": `${part.length}`,
      ...(from !== undefined && { "content-range": range }),
    },
  });
}

function redirect(
  status: number,
  location: string,
  headers: Record<string, string> = {},
): Response {
  return new Response(null, { status, headers: { location, ...headers } });
}
