/**
 * The plots of docs/ppo.md, from the small files beside them.
 *
 *     deno run --allow-read --allow-write tests/bench/plots.ts [name=RUN ...]
 *
 * Writes `docs/plots/*.svg` from `docs/plots/data/*.csv`. A pair such as `explained=runs/a` first takes the data of that
 * name from a run folder: its `probes.jsonl` where `kl_sweep.ts` wrote one, else its metrics.
 */
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { readRun } from "../../train/run_reader.ts";
import { FIGURES, type Row, TAKEN } from "./plot_figures.ts";
import { figureSvg } from "./line_chart.ts";

const PLOTS = fileURLToPath(new URL("../../docs/plots", import.meta.url));

/** Every plot by the name of its file. */
export async function drawPlots(): Promise<Map<string, string>> {
  const data = new Map<string, Row[]>();
  for await (const { name } of Deno.readDir(join(PLOTS, "data"))) {
    data.set(
      name.replace(".csv", ""),
      parseCsv(await Deno.readTextFile(join(PLOTS, "data", name))),
    );
  }
  return new Map(
    Object.entries(FIGURES).map(([name, figure]) => [`${name}.svg`, figureSvg(figure(data))]),
  );
}

/** A run's rows with what plots are drawn from, four digits of each number. */
async function dataOf(folder: string): Promise<string> {
  const probes = await Deno.readTextFile(join(folder, "probes.jsonl")).catch(() => undefined);
  const rows: Record<string, unknown>[] = probes === undefined
    ? (await readRun(folder)).metrics
    : probes.trimEnd().split("\n").map((line) => JSON.parse(line));
  const names = probes === undefined
    ? TAKEN
    : Object.keys(rows[0]).filter((name) => typeof rows[0][name] === "number");
  const cell = (value: unknown) =>
    typeof value === "number" ? String(Number(value.toPrecision(4))) : "";
  const lines = rows.map((row) => names.map((name) => cell(row[name])).join());
  return [names.join(), ...lines, ""].join("\n");
}

/** The rows of a file of numbers; an empty cell is left out. */
function parseCsv(text: string): Row[] {
  const [names, ...rows] = text.trimEnd().split("\n").map((line) => line.split(","));
  return rows.map((cells) =>
    Object.fromEntries(
      cells.flatMap((cell, i) => cell === "" ? [] : [[names[i], Number(cell)]]),
    )
  );
}

if (import.meta.main) {
  for (const pair of Deno.args) {
    const [name, folder] = pair.split("=");
    await Deno.writeTextFile(join(PLOTS, "data", `${name}.csv`), await dataOf(folder));
  }
  for (const [name, svg] of await drawPlots()) {
    await Deno.writeTextFile(join(PLOTS, name), svg);
    console.log(`wrote docs/plots/${name}`);
  }
}
