import deno from "../../deno.json" with { type: "json" };
import { isTimeMetric } from "../../train/metric_table.ts";
import { latestCheckpoint } from "../../train/run_folder.ts";
import { GPT2 } from "./goldens.ts";

/** Flags of a training run of seconds; without evaluations, so that every moment of it is a moment of training. */
export const QUICK_RUN: readonly string[] = [
  ["--model", GPT2],
  ["--reward", "heuristic"],
  ["--batch-size", "4"],
  ["--mini-batch-size", "4"],
  ["--epochs", "2"],
  ["--max-new-tokens", "6"],
  ["--eval-responses", "0"],
  ["--kl-target", "0.0001"],
].flat();

/** Starts `deno task train` in the background, with the permissions that deno.json gives it. */
export function startTraining(args: readonly string[]): Deno.ChildProcess {
  const [, ...words] = deno.tasks.train.split(" ");
  return new Deno.Command(Deno.execPath(), {
    args: [...words, ...args],
    cwd: new URL("../../", import.meta.url),
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
}

/** Trains until the end, and fails if there is none. */
export async function trainToEnd(args: readonly string[]): Promise<void> {
  const { code, signal, stderr } = await startTraining(args).output();
  // Deno now and then aborts while it unloads the Vulkan driver, when the program has already ended.
  if (code === 0 || signal === "SIGABRT") return;
  throw new Error(`training ended with ${signal ?? code}: ${new TextDecoder().decode(stderr)}`);
}

/** What two runs that computed the same have in common: all lines but their times, and every bit of the policy. */
export async function recordOf(run: string): Promise<Record<string, unknown>> {
  const checkpoint = await latestCheckpoint(run);
  const metrics = (await Deno.readTextFile(`${run}/metrics.jsonl`)).trimEnd().split("\n")
    .map((line) => Object.entries(JSON.parse(line)).filter(([name]) => !isTimeMetric(name)));
  return {
    metrics,
    samples: await Deno.readTextFile(`${run}/samples.jsonl`),
    policy: await Deno.readFile(`${checkpoint}/model.safetensors`),
    moments: await Deno.readFile(`${checkpoint}/optimizer.safetensors`),
  };
}

/**
 * Trains with `args` into the folder `run`, again and again killed, at most `kills` times, and resumed; then to the end.
 *
 * @param delay Milliseconds until the next kill.
 * @returns How often it was killed: less than `kills` where it came to its end before.
 */
export async function trainKilled(
  run: string,
  { args, kills, delay }: { args: readonly string[]; kills: number; delay: () => number },
): Promise<number> {
  const goOn = async () =>
    await isThere(`${run}/config.json`) ? ["--resume", run] : [...args, "--out", run];
  for (let killed = 0; killed < kills; killed++) {
    const child = startTraining(await goOn());
    const output = child.output();
    const timer = setTimeout(() => child.kill("SIGKILL"), delay());
    const { code, signal, stderr } = await output;
    clearTimeout(timer);
    if (signal === "SIGKILL") continue;
    if (code === 0 || signal === "SIGABRT") return killed;
    throw new Error(`training ended with ${signal ?? code}: ${new TextDecoder().decode(stderr)}`);
  }
  await trainToEnd(await goOn());
  return kills;
}

async function isThere(path: string): Promise<boolean> {
  return await Deno.stat(path).then(() => true, () => false);
}
