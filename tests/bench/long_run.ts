/**
 * A long training run: does anything grow, does it slow down?
 *
 *     deno run --allow-read --allow-write --allow-env tests/bench/long_run.ts [steps, 2000 by default] [setting=value ...]
 *
 * Prints a row every twentieth of the run: the median time of a step, bytes on the GPU, the resident memory of the process,
 * and the size of the run's files without checkpoints. The model is the tiny one of the tests unless `model=` says
 * otherwise; responses are of random length, so that shapes keep changing as in a real run.
 */
import { CheckpointKeeper } from "../../train/checkpoint_keeper.ts";
import { resolveConfig } from "../../train/config_resolve.ts";
import { PpoTrainer } from "../../train/ppo_trainer.ts";
import { RunFolder } from "../../train/run_folder.ts";

const [steps = "2000", ...given] = Deno.args;
const settings = Object.fromEntries(given.map((pair) => {
  const [name, text] = pair.split("=");
  return [name, Number.isNaN(Number(text)) ? text : Number(text)];
}));
const path = await Deno.makeTempDir({ prefix: "kl-guard-long-" });
const config = resolveConfig({
  flags: {
    model: new URL("../fixtures/gpt2", import.meta.url).pathname,
    reward: "heuristic",
    judge: "",
    batchSize: 8,
    miniBatchSize: 4,
    epochs: 2,
    maxNewTokens: 16,
    saveEvery: 50,
    guard: false,
    ...settings,
    steps: Number(steps),
    out: path,
  },
});

const every = Math.max(1, Math.floor(config.steps / 20));
const MB = 1e6;
console.log("| step | ms a step, median | GPU, MB | peak | RSS, MB | JS heap | files, MB |");
console.log("|" + " --- |".repeat(7));
{
  using trainer = await PpoTrainer.create(config);
  using folder = await RunFolder.create(path, config);
  let times: number[] = [];
  const meter = {
    onStepEnd({ steps, gpu }: PpoTrainer, { metrics }: { metrics: { "timing_s/total": number } }) {
      times.push(1000 * metrics["timing_s/total"]);
      if (steps % every !== 0) return;
      const median = times.toSorted((a, b) => a - b)[times.length >> 1];
      const { rss, heapUsed } = Deno.memoryUsage();
      const cells = [steps, median.toFixed(0)];
      for (const bytes of [gpu.liveBytes, gpu.peakBytes, rss, heapUsed, fileBytes(path)]) {
        cells.push((bytes / MB).toFixed(1));
      }
      console.log(`| ${cells.join(" | ")} |`);
      times = [];
    },
  };
  const callbacks = [folder.recorder(), new CheckpointKeeper(folder, config), meter];
  await trainer.train({ callbacks });
}
await Deno.remove(path, { recursive: true });

/** Bytes of the files directly in a folder. */
function fileBytes(folder: string): number {
  return Array.from(Deno.readDirSync(folder))
    .filter(({ isFile }) => isFile)
    .reduce((sum, { name }) => sum + Deno.statSync(`${folder}/${name}`).size, 0);
}
