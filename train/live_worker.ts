/// <reference lib="deno.worker" />
/** Runs the live page's server on a thread of its own: waiting for the GPU blocks the trainer's. */

import { LiveServer } from "./live_server.ts";
import type { LiveCommand, LiveEvent } from "./live_protocol.ts";

/** What the trainer's thread sends. */
export type ToLiveWorker =
  | { open: { port: number; token: string; steerable: boolean } }
  | { push: LiveEvent }
  | { close: true };

/** What it hears. */
export type FromLiveWorker = { url: string } | { failed: string } | { command: LiveCommand } | {
  closed: true;
};

const say = (message: FromLiveWorker) => self.postMessage(message);
let server: LiveServer | undefined;

self.addEventListener("message", async ({ data }: MessageEvent<ToLiveWorker>) => {
  if ("open" in data) {
    const { port, token, steerable } = data.open;
    try {
      server = new LiveServer({
        port,
        token,
        ...(steerable && { onCommand: (command) => say({ command }) }),
      });
      say({ url: server.url });
    } catch (error) {
      say({ failed: (error as Error).message });
    }
  } else if ("push" in data) {
    server?.push(data.push);
  } else {
    await server?.close();
    say({ closed: true });
    self.close();
  }
});
