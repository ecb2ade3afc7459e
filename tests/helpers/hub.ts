import { assertEquals, assertMatch, assertRejects, assertStringIncludes } from "@std/assert";
import { HubError, type HubErrorKind } from "../../weights/hub_errors.ts";
import type { HubOptions } from "../../weights/hub_options.ts";
import { withFolder } from "./folder.ts";
import { HubServer, type Repository, TINY } from "./hub_server.ts";

/** A Hub, an empty cache, and options that lead to both. */
export interface HubSetting {
  server: HubServer;
  cacheDir: string;
  options: HubOptions;
}

/** Runs a test with a Hub on loopback, which has the tiny GPT-2 as `tiny/gpt2`. */
export async function withHub(
  test: (setting: HubSetting) => Promise<void>,
  repositories: Record<string, Repository> = { "tiny/gpt2": TINY },
): Promise<void> {
  await withFolder(async (cacheDir) => {
    await using server = new HubServer(repositories);
    const options = { endpoint: server.endpoint, cacheDir, retryMs: 10, timeoutMs: 5000 };
    await test({ server, cacheDir, options });
  });
}

/** Checks that a promise ends in a {@linkcode HubError} of one sentence that says what was wrong and what to do. */
export async function assertHubError(
  promise: Promise<unknown>,
  kind: HubErrorKind,
  ...says: string[]
): Promise<void> {
  const error = await assertRejects(() => promise, HubError) as HubError;
  assertEquals(error.kind, kind, error.message);
  for (const words of says) assertStringIncludes(error.message, words);
  assertMatch(error.message, /^Cannot [^\n]+; [^\n]+[^.\n]$/);
}
