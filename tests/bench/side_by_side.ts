/**
 * Ours and PyTorch's times of the same workloads in one table:
 *
 * ```
 * deno run --allow-read tests/bench/side_by_side.ts OURS.jsonl TORCH.jsonl
 * ```
 *
 * The files are what `deno task bench --json` and `torch_step.py --json` printed, a line of JSON a workload.
 *
 * @module
 */
// deno-lint-ignore-file no-console
import { type BenchResult, comparisonRows } from "./bench_result.ts";
import { markdownTable } from "./figures.ts";

const [ours, theirs] = await Promise.all(
  Deno.args.slice(0, 2).map(async (path): Promise<BenchResult[]> => {
    const lines = (await Deno.readTextFile(path)).split("\n");
    return lines.filter((line) => line.startsWith("{")).map((line) => JSON.parse(line));
  }),
);
if (!ours || !theirs) {
  throw new TypeError("Cannot compare: two files are needed; give ours, then PyTorch's");
}
console.log(`ours: ${ours[0]?.adapter.description}\ntheirs: ${theirs[0]?.adapter.description}\n`);
const rows = comparisonRows(ours, theirs);
for (const line of markdownTable(["workload", "ours", "PyTorch", "faster"], rows)) {
  console.log(line);
}
