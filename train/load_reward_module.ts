import { basename, extname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { type Reward, RewardError } from "../reward/reward.ts";
import { exists } from "../weights/hub_files.ts";

/**
 * Loads a reward from a module of the user's, whose default export is a reward, or its `score` alone:
 *
 * ```ts
 * export default (samples: { response: string }[]): number[] =>
 *   samples.map(({ response }) => response.split("!").length - 1);
 * ```
 *
 * A reward without a name is called as the file is. The module may import other files and, as far as
 * Deno is permitted to, packages; it runs with the permissions of the program.
 *
 * @throws {RewardError} If the module cannot be loaded, or exports something else.
 */
export async function loadRewardModule(path: string): Promise<Reward> {
  if (!await exists(path)) {
    throw new RewardError(`Cannot load the reward ${path}: there is no such file; check the path`);
  }
  const name = basename(path, extname(path));
  let exported: Partial<Reward> | Reward["score"] | undefined;
  try {
    exported = (await import(pathToFileURL(resolve(path)).href)).default;
  } catch (cause) {
    const problem = cause instanceof Error ? cause.message : String(cause);
    throw new RewardError(`Cannot load the reward ${path}: ${problem}`, { cause });
  }
  if (typeof exported === "function") return { name, score: exported };
  if (typeof exported?.score !== "function") {
    throw new RewardError(
      `Cannot load the reward ${path}: its default export is neither a function nor a reward; write ` +
        "export default (samples) => samples.map(({ response }) => ...)",
    );
  }
  const reward = exported as Reward;
  return {
    name: reward.name || name,
    score: (samples) => reward.score(samples),
    [Symbol.dispose]: () => reward[Symbol.dispose]?.(),
  };
}
