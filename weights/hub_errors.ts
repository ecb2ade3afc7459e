/** Why a model does not come from the Hub, each with what to do about it. */

/** What went wrong, for callers that act on it. */
export type HubErrorKind =
  /** No such repository, or none that one may see. */
  | "missing"
  /** Its owners ask for consent first. */
  | "gated"
  /** The token is not valid, or may not do this. */
  | "refused"
  | "revision"
  /** The repository is there but holds no model that can be read here. */
  | "content"
  /** No answer: no network, no such host, silence, or no permission to ask. */
  | "unreachable"
  /** Not in the cache, and the network is not to be used. */
  | "offline"
  /** Too many requests, or a fault of the server, several times in a row. */
  | "busy"
  /** What arrived is not what the server said it would be. */
  | "corrupt"
  /** The cache cannot be read or written. */
  | "storage";

/** A model that could not be had from the Hub. */
export class HubError extends Error {
  /** The name of the class. */
  override name = "HubError";

  /** An error that callers can tell by its kind. */
  constructor(readonly kind: HubErrorKind, message: string, cause?: unknown) {
    super(message, { cause });
  }
}

/** Of which model an error speaks, and who said no. */
export interface HubContext {
  /** Address of the Hub, such as `https://huggingface.co`. */
  endpoint: string;
  id: string;
  revision: string;
  /** Whether a token was sent. */
  token: boolean;
}

/**
 * The error that a refusal of the Hub stands for.
 *
 * The Hub says why in `X-Error-Code`; without a token it answers 401 for what is missing and what is private
 * alike, so as not to tell them apart.
 */
export function refusal(response: Response, context: HubContext): HubError {
  const { endpoint, id, revision, token } = context;
  const { host } = new URL(endpoint);
  const { status } = response;
  const code = response.headers.get("x-error-code");
  const reason = response.headers.get("x-error-message");
  const cannot = `Cannot download ${id}`;

  if (code === "GatedRepo") {
    const then = token ? "with the account of the token" : "and set HF_TOKEN";
    const remedy = `accept them at ${endpoint}/${id} ${then}`;
    return new HubError("gated", `${cannot}: its owners ask for consent to their terms; ${remedy}`);
  }
  if (code === "RevisionNotFound") {
    const remedy = `${endpoint}/${id}/commits has them all`;
    return new HubError("revision", `${cannot}: it has no revision ${revision}; ${remedy}`);
  }
  if (code === "RepoNotFound" || status === 404 || status === 401 && !token) {
    const visible = token ? "the token may see" : "is public";
    const remedy = token ? "give a token that may" : "set HF_TOKEN if it is private";
    return new HubError(
      "missing",
      `Cannot find the model ${id}: there is no such folder here, and ${host} has no model of this name that ` +
        `${visible}; check the spelling, or ${remedy}`,
    );
  }
  if (status === 401 || status === 403) {
    const says = reason ? ` (${reason})` : "";
    const problem = token ? `${host} refuses the token${says}` : `${host} asks for a token${says}`;
    const remedy = `make one that may read it at ${endpoint}/settings/tokens and set HF_TOKEN`;
    return new HubError("refused", `${cannot}: ${problem}; ${remedy}`);
  }
  if (status === 429) {
    const remedy = token
      ? "try again in some minutes"
      : "set HF_TOKEN for a higher limit, or try later";
    return new HubError("busy", `${cannot}: too many requests for ${host} (429); ${remedy}`);
  }
  const problem = `${host} answered ${status}${reason ? ` (${reason})` : ""}`;
  return new HubError(
    "busy",
    `${cannot}: ${problem}; try again later, or set HF_ENDPOINT to a mirror`,
  );
}

/** The error of an answer that does not describe a file as the Hub does. */
export function notAHub(url: string): HubError {
  const problem = "the answer names no commit, no ETag or no size";
  const remedy = "check HF_ENDPOINT, and whether a proxy answers in its place";
  return new HubError("unreachable", `Cannot use ${url} as a file of a Hub: ${problem}; ${remedy}`);
}

/** The error of a server that gave no answer at all. */
export function unreachable(error: unknown, host: string, id: string): HubError {
  if (error instanceof Deno.errors.NotCapable) {
    const [, refused = host] = /net access to "([^"]+)"/.exec(error.message) ?? [];
    const remedy = `run it with deno run and ${refused} in --allow-net`;
    const problem = `this program may not ask ${refused}`;
    return new HubError("unreachable", `Cannot download ${id}: ${problem}; ${remedy}`, error);
  }
  return new HubError(
    "unreachable",
    `Cannot find the model ${id}: there is no such folder here, and ${host} cannot be reached ` +
      `(${reasonOf(error)}); check the spelling and the network, or set HF_ENDPOINT to a mirror`,
    error,
  );
}

/** The error of a server that answered before, and now does not or breaks off. */
export function brokenOff(error: unknown, host: string, id: string): HubError {
  if (error instanceof Deno.errors.NotCapable) return unreachable(error, host, id);
  const problem = `the connection to ${host} broke off several times (${reasonOf(error)})`;
  const remedy = "try again, what has arrived is kept";
  return new HubError("unreachable", `Cannot download ${id}: ${problem}; ${remedy}`, error);
}

/** Of Deno's long texts the part that says why; a URL in it loses its query, which may be signed. */
function reasonOf(error: unknown): string {
  const { message, cause } = error as Error;
  const detail = cause instanceof Error ? cause.message : message;
  return detail.replaceAll(/(?<=https?:\/\/[^\s?)]*)\?[^\s)]*/g, "")
    .replace(/^.*(?:client error \(Connect\)|error sending request[^:]*): /, "");
}

/** What to say where the cache in `folder` could not be read or written; undefined where `error` is of another kind. */
export function storageError(error: unknown, folder: string): HubError | undefined {
  if (!(error instanceof Error)) return undefined;
  const problem = storageProblem(error);
  if (problem === undefined) return undefined;
  const remedy = "or set HF_HUB_CACHE to another folder";
  return new HubError(
    "storage",
    `Cannot use the cache ${folder}: ${problem}, ${remedy}`,
    error,
  );
}

function storageProblem(error: Error & { code?: unknown }): string | undefined {
  const { NotCapable, PermissionDenied, NotADirectory } = Deno.errors;
  if (error.code === "ENOSPC" || error.code === "EDQUOT") return "the disk is full; make room";
  if (error.code === "EROFS") return "it is on a read-only file system; mount it for writing";
  if (error instanceof NotADirectory) return "a part of its path is a file; move the file";
  if (error instanceof NotCapable) {
    return "this program may not; add it to --allow-read and --allow-write";
  }
  if (error instanceof PermissionDenied) return "you may not; change its permissions";
  return undefined;
}
