/**
 * The live page's HTTP server: pages and assets, a stream of server-sent events, and commands.
 *
 * It knows nothing of training: events go in, commands come out. Texts in events are a stranger's; the page shows
 * them as text only, and the policy in every answer's head lets no other script run.
 *
 * @module
 */
import chartsScript from "./page/charts.js" with { type: "text" };
import liveScript from "./page/live.js" with { type: "text" };
import page from "./page/live.html" with { type: "text" };
import style from "./page/page.css" with { type: "text" };
import plotStyle from "uplot/dist/uPlot.min.css" with { type: "text" };
import plotScript from "uplot/dist/uPlot.iife.min.js" with { type: "text" };
import { checkCommand, CommandError, type LiveCommand, type LiveEvent } from "./live_protocol.ts";

/** How to serve. */
export interface LiveServerOptions {
  /** 0, the default, takes any free port. */
  port?: number;
  /** What a request that changes something must know. */
  token: string;
  /** Hears of every command that was allowed; without it the page only shows. */
  onCommand?: (command: LiveCommand) => void;
}

const ASSETS: Record<string, [type: string, content: string]> = {
  "/": ["text/html", page],
  "/page.css": ["text/css", style],
  "/uplot.css": ["text/css", plotStyle],
  "/uplot.js": ["text/javascript", plotScript],
  "/charts.js": ["text/javascript", chartsScript],
  "/live.js": ["text/javascript", liveScript],
};

const HEADERS = {
  "content-security-policy":
    "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src data:; " +
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
  "x-content-type-options": "nosniff",
  "referrer-policy": "no-referrer",
  "cache-control": "no-store",
};

/** Longest command, in bytes. */
const MAX_COMMAND = 16_384;

/** Most answers to typed prompts that a later viewer is still shown. */
const KEPT_ANSWERS = 20;

/** Serves the live page on 127.0.0.1 until it is closed. */
export class LiveServer {
  readonly #server: Deno.HttpServer<Deno.NetAddr>;
  readonly #options: LiveServerOptions;
  readonly #viewers = new Set<ReadableStreamDefaultController<Uint8Array>>();
  /** What a new viewer is told, in order. */
  #history: LiveEvent[] = [];

  /** @throws {Deno.errors.AddrInUse} If the port is taken. */
  constructor(options: LiveServerOptions) {
    this.#options = options;
    this.#server = Deno.serve(
      { hostname: "127.0.0.1", port: options.port ?? 0, onListen() {} },
      (request) => this.#answer(request),
    );
  }

  /** `http://127.0.0.1:PORT`. */
  get origin(): string {
    return `http://127.0.0.1:${this.#server.addr.port}`;
  }

  /** The address with the token, after a `#`, which browsers do not send. */
  get url(): string {
    return `${this.origin}/#${this.#options.token}`;
  }

  /** Tells every viewer, and those who come later. */
  push(event: LiveEvent): void {
    this.#remember(event);
    for (const viewer of this.#viewers) viewer.enqueue(encode(event));
  }

  /** Ends all streams and stops to listen. */
  async close(): Promise<void> {
    for (const viewer of this.#viewers) viewer.close();
    this.#viewers.clear();
    await this.#server.shutdown();
  }

  /** Of events that replace each other only the newest is kept; steps are all kept, for the curves. */
  #remember(event: LiveEvent): void {
    if (event.type === "run") this.#history = [];
    if (event.type === "run" || event.type === "samples" || event.type === "state") {
      this.#history = this.#history.filter(({ type }) => type !== event.type);
    }
    this.#history.push(event);
    const answers = this.#history.filter(({ type }) => type === "answer");
    if (answers.length > KEPT_ANSWERS) this.#history.splice(this.#history.indexOf(answers[0]), 1);
  }

  async #answer(request: Request): Promise<Response> {
    const { pathname } = new URL(request.url);
    // A name that only points here would let a stranger's page read this one (DNS rebinding).
    if (!this.#isOwnHost(request.headers.get("host"))) return refuse(421, "unknown host");
    if (pathname === "/command") return await this.#command(request);
    if (request.method !== "GET") return refuse(405, "only GET");
    if (pathname === "/events") return this.#events();
    const asset = ASSETS[pathname];
    if (!asset) return refuse(404, "no such page");
    const [type, content] = asset;
    return new Response(content, {
      headers: { ...HEADERS, "content-type": `${type}; charset=utf-8` },
    });
  }

  #isOwnHost(host: string | null): boolean {
    const { port } = this.#server.addr;
    return host === `127.0.0.1:${port}` || host === `localhost:${port}`;
  }

  #events(): Response {
    let viewer: ReadableStreamDefaultController<Uint8Array>;
    const stream = new ReadableStream<Uint8Array>({
      start: (controller) => {
        viewer = controller;
        this.#viewers.add(viewer);
        viewer.enqueue(new TextEncoder().encode("retry: 1000\n\nevent: reset\ndata: null\n\n"));
        for (const event of this.#history) viewer.enqueue(encode(event));
      },
      cancel: () => void this.#viewers.delete(viewer),
    });
    return new Response(stream, { headers: { ...HEADERS, "content-type": "text/event-stream" } });
  }

  /** A command needs the token, and to come from the page itself. */
  async #command(request: Request): Promise<Response> {
    const { token, onCommand } = this.#options;
    if (request.method !== "POST") return refuse(405, "only POST");
    const origin = request.headers.get("origin");
    if (origin === null || !/^http:\/\//.test(origin) || !this.#isOwnHost(origin.slice(7))) {
      return refuse(403, "commands must come from this page");
    }
    if (!isEqual(request.headers.get("x-kl-guard-token") ?? "", token)) {
      return refuse(401, "the token is wrong; take the address that the terminal printed");
    }
    if (!onCommand) return refuse(409, "this run is only shown; it cannot be steered from here");
    try {
      onCommand(checkCommand(await readJson(request)));
    } catch (error) {
      if (error instanceof CommandError) return refuse(400, error.message);
      throw error;
    }
    return new Response(null, { status: 204, headers: HEADERS });
  }
}

async function readJson(request: Request): Promise<unknown> {
  const text = await request.text();
  if (text.length > MAX_COMMAND) throw new CommandError("the command is too long");
  try {
    return JSON.parse(text);
  } catch {
    throw new CommandError("the command is not JSON");
  }
}

function refuse(status: number, reason: string): Response {
  return new Response(reason, { status, headers: { ...HEADERS, "content-type": "text/plain" } });
}

function encode({ type, ...data }: LiveEvent): Uint8Array {
  return new TextEncoder().encode(`event: ${type}\ndata: ${JSON.stringify(data)}\n\n`);
}

/** Compares in a time that does not tell how much of the token was right. */
function isEqual(given: string, token: string): boolean {
  let difference = given.length ^ token.length;
  for (let i = 0; i < token.length; i++) difference |= given.charCodeAt(i) ^ token.charCodeAt(i);
  return difference === 0;
}
