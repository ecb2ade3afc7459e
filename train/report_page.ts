/**
 * The report of training runs: one HTML file that works offline and loads nothing.
 *
 * Texts of models, prompts and file names are a stranger's: they reach the page as escaped text, and the policy
 * in its head lets nothing run but its own scripts, by their hashes.
 *
 * @module
 */
import { join } from "node:path";
import { writeFileAtomic } from "../weights/atomic.ts";
import chartsScript from "./page/charts.js" with { type: "text" };
import reportScript from "./page/report.js" with { type: "text" };
import style from "./page/page.css" with { type: "text" };
import plotStyle from "uplot/dist/uPlot.min.css" with { type: "text" };
import plotScript from "uplot/dist/uPlot.iife.min.js" with { type: "text" };
import { embeddedJson, escapeHtml, pageHead, sourceHash } from "./html.ts";
import { type EvaluatedSample, readRun, type RunRecord } from "./run_reader.ts";
import { METRICS } from "./metric_table.ts";

/** Writes `report.html` into a run folder. */
export async function writeReport(folder: string): Promise<void> {
  await writeFileAtomic(join(folder, "report.html"), await reportPage([await readRun(folder)]));
}

/** The report of one run, or of several beside each other. */
export async function reportPage(runs: readonly RunRecord[]): Promise<string> {
  const scripts = [plotScript, chartsScript, reportScript];
  const hashes = await Promise.all(scripts.map(sourceHash));
  const policy = `default-src 'none'; img-src data:; style-src 'unsafe-inline'; ` +
    `script-src ${hashes.join(" ")}; base-uri 'none'; form-action 'none'`;
  const title = runs.map(({ name }) => name).join(", ");
  return `${pageHead({ title, policy, styles: `${plotStyle}\n${style}` })}
<header>
<h1>${escapeHtml(title)}</h1>
${overview(runs)}
</header>
<main>
<section aria-labelledby="charts-title"><h2 id="charts-title">Curves</h2><div class="charts" id="charts"></div></section>
${runs.map(runSections).join("\n")}
</main>
<script type="application/json" id="runs">${embeddedJson(runs.map(chartData))}</script>
${scripts.map((script) => `<script>${script}</script>`).join("\n")}
</body>
</html>
`;
}

/** Only what the charts draw. */
function chartData({ name, metrics, settings }: RunRecord) {
  return { name, metrics, settings };
}

/** A row for each run: how far it came, and what that did. */
function overview(runs: readonly RunRecord[]): string {
  const rows = runs.map(({ name, metrics, settings, evaluation: { before, after }, events }) => {
    const last = metrics.at(-1) ?? {};
    return [
      name,
      `${last.step ?? 0} of ${settings.steps}`,
      before ? number(before.summary.meanScore) : "–",
      after ? number(after.summary.meanScore) : "–",
      number(last["ppo/mean_scores"]),
      number(last["objective/kl_full"]),
      number(settings.klTarget),
      String(events.length),
    ];
  });
  return table("Overview", [
    "run",
    "steps",
    "reward before",
    "reward after",
    "reward, last step",
    "KL, last step (nats/token)",
    "KL target",
    "guard events",
  ], rows);
}

function runSections(run: RunRecord, _: number, runs: readonly RunRecord[]): string {
  const of = runs.length > 1 ? ` of ${escapeHtml(run.name)}` : "";
  const events = run.events.map(({ step, rule, action, message }) =>
    [step, rule, action, message].map((cell) => String(cell ?? ""))
  );
  return [
    section(
      `Guard${of}`,
      events.length === 0
        ? "<p>Nothing happened that the guard watches for.</p>"
        : table("Guard", ["step", "rule", "action", "what was seen"], events),
    ),
    section(`Texts before and after${of}`, textsSection(run)),
    section(`Samples of the last steps${of}`, samplesSection(run)),
    section(`Last step${of}`, lastStepSection(run)),
    section(`Settings${of}`, table("Settings", ["setting", "value"], entries(run.settings))),
    section(`Environment${of}`, table("Environment", ["what", "value"], entries(run.environment))),
  ].join("\n");
}

function section(title: string, content: string): string {
  return `<section><h2>${title}</h2>${content}</section>`;
}

function textsSection({ evaluation: { before, after } }: RunRecord): string {
  if (!before && !after) return "<p>The run was not evaluated.</p>";
  const shown = 8;
  const texts = (after ?? before)!.samples.slice(0, shown).map((sample, index) =>
    `<h3 class="muted">${escapeHtml(sample.prompt)} …</h3>${
      before ? response("before", before.samples[index]) : ""
    }${after ? response("after", after.samples[index]) : ""}`
  );
  return TOKEN_KEY + texts.join("\n");
}

function samplesSection({ samples }: RunRecord): string {
  const shown = samples.filter(({ tokens }) => tokens).slice(-8);
  if (shown.length === 0) return "<p>No sample was kept token by token.</p>";
  return TOKEN_KEY +
    shown.map((sample) => response(`step ${sample.step}: ${sample.prompt} …`, sample)).join("\n");
}

const TOKEN_KEY =
  `<p class="muted">Marked behind the text: the KL of a token to the reference, stronger is more.
Underlined: its advantage, solid where positive, dashed where negative; models without a value head, such as the reference,
have none. Point at a token for the numbers.</p>`;

/** A response with its score; token by token where that was kept. */
function response(label: string, sample: EvaluatedSample | undefined): string {
  if (!sample) return "";
  const text = sample.tokens?.map(tokenSpan).join("") ?? escapeHtml(sample.response);
  const head = `${escapeHtml(label)}, score ${number(sample.score)}`;
  return `<div class="response"><div class="muted">${head}</div>${text}</div>`;
}

/** Nats at which the mark is at its strongest; it fades with the root below. */
const FULL_MARK = 1;

function tokenSpan(
  { text, kl, advantage }: { text: string; kl: number; advantage?: number },
): string {
  const level = Math.round(5 * Math.sqrt(Math.min(1, Math.max(0, kl) / FULL_MARK)));
  const side = advantage === undefined || Math.abs(advantage) < 0.25
    ? ""
    : advantage > 0
    ? " gain"
    : " loss";
  const numbers = `KL ${number(kl)} nats` +
    (advantage === undefined ? "" : `, advantage ${number(advantage)}`);
  return `<span class="token kl${level}${side}" title="${numbers}">${escapeHtml(text)}</span>`;
}

function lastStepSection({ metrics }: RunRecord): string {
  const last = metrics.at(-1);
  if (!last) return "<p>No step was finished.</p>";
  const rows = Object.entries(last).map(([name, value]) => [
    name,
    number(value),
    METRICS[name as keyof typeof METRICS]?.join(": ") ?? "",
  ]);
  return `<details><summary>All metrics</summary>${
    table("Metrics", ["metric", "value", "meaning"], rows)
  }</details>`;
}

function entries(record: Record<string, unknown>): string[][] {
  return Object.entries(record).map(([name, value]) => [
    name,
    typeof value === "string" ? value : JSON.stringify(value) ?? "",
  ]);
}

/** The keyboard reaches it, to move what is wider than the page. */
function table(
  label: string,
  head: readonly string[],
  rows: readonly (readonly string[])[],
): string {
  const cell = (tag: string) => (text: string) => `<${tag}>${escapeHtml(text)}</${tag}>`;
  const row = (cells: readonly string[]) => `<tr>${cells.map(cell("td")).join("")}</tr>`;
  return `<div class="scroll" tabindex="0" role="region" aria-label="${label}"><table><thead><tr>${
    head.map(cell("th")).join("")
  }</tr></thead><tbody>${rows.map(row).join("\n")}</tbody></table></div>`;
}

function number(value: unknown): string {
  return typeof value === "number" && Number.isFinite(value)
    ? String(Number(value.toPrecision(4)))
    : "–";
}
