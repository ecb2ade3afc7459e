/** Names of models on the Hub: `gpt2`, `openai-community/gpt2`, `gpt2@607a30d783dfa663caf39e06633721c8d4cfcd7e`. */

/** A repository on the Hub at a branch, tag or commit. */
export interface HubName {
  /** `name` or `owner/name`. */
  id: string;
  /** What follows the `@`, else `main`. */
  revision: string;
}

/** A name begins and ends with a letter, a digit or `_`, which keeps `.` and `..` out. */
const PART = "[A-Za-z0-9_](?:[\\w.-]*\\w)?";

const NAME = new RegExp(`^(?<id>(?:${PART}/)?${PART})(?:@(?<revision>${PART}(?:/${PART})*))?$`);

/**
 * What `name` says as the name of a model on the Hub; undefined where it can only be a path.
 *
 * The rules for an id are those of `huggingface_hub`: at most 96 characters, neither `--` nor `..`, no `.git`.
 */
export function parseHubName(name: string): HubName | undefined {
  const { id, revision = "main" } = NAME.exec(name)?.groups ?? {};
  if (id === undefined || id.length > 96 || /--|\.\.|\.git$/.test(id)) return undefined;
  return revision.includes("..") ? undefined : { id, revision };
}

/** Whether a revision is a whole commit hash, which never comes to mean something else. */
export function isCommit(revision: string): boolean {
  return /^[0-9a-f]{40}$/.test(revision);
}
