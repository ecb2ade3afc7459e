/** Where models come from and where they are kept: values, and how the environment names them. */

import { homedir } from "node:os";
import { join } from "node:path";
import { HubError } from "./hub_errors.ts";

/** How far the download of a model is, over all of its files. */
export interface DownloadProgress {
  /** Bytes that are here, with those of an earlier attempt. */
  doneBytes: number;
  /** Bytes of all of its files. */
  totalBytes: number;
}

/** Where models come from and where they are kept; {@linkcode hubOptionsFromEnv} reads them. */
export interface HubOptions {
  /** Address of the Hub or of a mirror (default `https://huggingface.co`). */
  endpoint?: string | undefined;
  /** Access token; sent to `endpoint` and to no other host. */
  token?: string | undefined;
  /** File that holds the token, read where `token` is absent; it need not exist. */
  tokenFile?: string | undefined;
  /** Folder of the cache, in the layout of Python's `huggingface_hub` (default `~/.cache/huggingface/hub`). */
  cacheDir?: string | undefined;
  /** Whether a name may mean a folder of this machine (default true); if not, it means a model on the Hub. */
  local?: boolean | undefined;
  /** Take models from the cache alone (default false). */
  offline?: boolean | undefined;
  /** Longest silence of a server before it counts as lost, in ms (default 10 000). */
  timeoutMs?: number | undefined;
  /** Pause before the first retry, in ms; it doubles with each (default 1000). */
  retryMs?: number | undefined;
  /** Hears of every part of a download. */
  onProgress?: ((progress: DownloadProgress) => void) | undefined;
  /** Hears, in one line each, of what a person would want to know, such as that a model has moved. */
  say?: ((line: string) => void) | undefined;
}

/** The Hub itself. */
export const HUB = "https://huggingface.co";

/** Environment variables by name: those of the runtime, or a `Map`. */
export interface Environment {
  /** The value of a variable; undefined where it is not set. */
  get(name: string): string | undefined;
}

/**
 * The options that the environment names, as Python's `huggingface_hub` reads them: HF_ENDPOINT, HF_TOKEN,
 * HF_TOKEN_PATH, HF_HUB_CACHE, HF_HOME, XDG_CACHE_HOME and HF_HUB_OFFLINE.
 *
 * An empty variable counts as absent.
 */
export function hubOptionsFromEnv(env: Environment): HubOptions {
  const caches = cacheHome(env);
  const home = env.get("HF_HOME") || (caches && join(caches, "huggingface"));
  return {
    endpoint: env.get("HF_ENDPOINT") || undefined,
    token: cleanToken(env.get("HF_TOKEN")),
    tokenFile: env.get("HF_TOKEN_PATH") || (home && join(home, "token")),
    cacheDir: env.get("HF_HUB_CACHE") || (home && join(home, "hub")),
    offline: /^(1|on|yes|true)$/i.test(env.get("HF_HUB_OFFLINE") ?? ""),
  };
}

/** Folder of a user's caches, if the environment says which. */
export function cacheHome(env: Environment): string | undefined {
  const user = env.get("HOME") || env.get("USERPROFILE");
  return env.get("XDG_CACHE_HOME") || (user && join(user, ".cache"));
}

/** The cache of a user who set nothing. */
export function defaultCacheDir(): string {
  return join(homedir(), ".cache", "huggingface", "hub");
}

/**
 * The token, or what its file holds; undefined where there is neither.
 *
 * @throws {HubError} If the file may not be read.
 */
export async function readToken(
  { token, tokenFile }: Pick<HubOptions, "token" | "tokenFile">,
): Promise<string | undefined> {
  if (token !== undefined || tokenFile === undefined) return cleanToken(token);
  try {
    return cleanToken(await Deno.readTextFile(tokenFile));
  } catch (error) {
    const { NotFound, NotADirectory, NotCapable, PermissionDenied } = Deno.errors;
    if (error instanceof NotFound || error instanceof NotADirectory) return undefined;
    if (!(error instanceof NotCapable || error instanceof PermissionDenied)) throw error;
    const remedy = "change its permissions, or set HF_TOKEN";
    const message = `Cannot read the access token in ${tokenFile}: this program may not; ${remedy}`;
    throw new HubError("refused", message, error);
  }
}

/** A token as it was meant: files and shells leave line ends around it. */
function cleanToken(token: string | undefined): string | undefined {
  return token?.replaceAll(/\s/g, "") || undefined;
}
