/** Where services that keep metrics are. */

import { holdsSecret } from "../weights/secrets.ts";

/** Whether a text is the address of a service, without what lets one in. */
export function isServiceUrl(text: string): boolean {
  return /^https?:\/\//i.test(text) && URL.canParse(text) && !holdsSecret(text);
}

/** Whether a text names a Trackio server: such an address, or a Space as `user/space`. */
export function isTrackioServer(text: string): boolean {
  return isServiceUrl(text) || /^[\w-]+\/[\w.-]+$/.test(text);
}

/** The address of a Trackio server; a Space has a host of its own. */
export function trackioUrl(server: string): string {
  if (/^https?:/i.test(server)) return server;
  return `https://${server.toLowerCase().replaceAll(/[/_.]/g, "-")}.hf.space`;
}

/** Whether a Trackio server is a Space, which the Hub's token is for. */
export function isSpace(server: string): boolean {
  return new URL(trackioUrl(server)).hostname.endsWith(".hf.space");
}
