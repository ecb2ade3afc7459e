/**
 * Draws the charts of training runs with uPlot. A classic script, which the report and the live page put
 * into their documents as it is.
 *
 * A run: { name, metrics: [{ step, ... }], settings }. A chart: see CHARTS below; its series are names of metrics.
 */
"use strict";

/** Okabe and Ito's colours, told apart by the colour-blind too; the last is for constants. */
const COLOURS = [
  "#0072b2",
  "#d55e00",
  "#009e73",
  "#cc79a7",
  "#e69f00",
  "#56b4e9",
  "#8c8c8c",
];

/** Distances between the marks of the step axis. */
const WHOLE_STEPS = [
  1,
  2,
  5,
  10,
  20,
  50,
  100,
  200,
  500,
  1000,
  2000,
  5000,
  10000,
  20000,
  50000,
];

const CHARTS = [
  {
    title: "Reward",
    unit: "score",
    series: { "ppo/mean_scores": "mean score of the batch" },
    parts: /^rewards\/(?!(?:.+\/)?truncated\/)(.+)\/mean$/, // the share of cut texts is no reward
  },
  {
    title: "KL to the reference, and its weight",
    unit: "nats per token",
    series: { "objective/kl_full": "KL" },
    band: { metric: "objective/kl_target", setting: "klTarget" },
    right: { unit: "beta", series: { "objective/kl_coef": "beta" } },
  },
  {
    title: "Losses",
    unit: "loss",
    series: {
      "ppo/loss/policy": "policy",
      "ppo/loss/value": "value",
      "ppo/loss/total": "total",
    },
  },
  {
    title: "Entropy",
    unit: "nats",
    series: { "ppo/policy/entropy": "entropy" },
  },
  {
    title: "Clipped share of tokens",
    unit: "share",
    series: { "ppo/policy/clipfrac": "policy", "ppo/val/clipfrac": "value" },
  },
  {
    title: "Ratio of new to old probability",
    unit: "ratio",
    series: { "ppo/policy/ratio": "mean", "ppo/policy/ratio_max": "largest" },
  },
  {
    title: "Variance that the value head explains",
    unit: "share",
    series: { "critic/vf_explained_var": "explained" },
  },
  {
    title: "Gradient norm",
    unit: "before clipping",
    series: { "ppo/grad_norm": "norm" },
  },
  {
    title: "Length of responses",
    unit: "tokens",
    series: { "tokens/responses_len_mean": "mean" },
  },
  {
    title: "Speed",
    unit: "tokens/s",
    series: { "perf/tokens_per_second": "generated" },
  },
  {
    title: "Time of a step by phase",
    unit: "seconds",
    series: {
      "timing_s/total": "total",
      "timing_s/generate": "generate",
      "timing_s/score": "reward",
      "timing_s/forward": "old and reference",
      "timing_s/update": "update",
    },
  },
];

/**
 * Fills `root` with one figure per chart and returns a function that draws the runs as they are then.
 *
 * @param {HTMLElement} root
 * @returns {(runs: Array<{name: string, metrics: object[], settings: object}>) => void}
 */
// deno-lint-ignore no-unused-vars -- called by the page's own script
function createCharts(root) {
  const figures = CHARTS.map((chart) => {
    const figure = document.createElement("figure");
    const caption = document.createElement("figcaption");
    caption.textContent = `${chart.title} (${chart.unit})`;
    const plot = document.createElement("div");
    plot.setAttribute("role", "img");
    figure.append(caption, plot);
    root.append(figure);
    return { chart, figure, plot, uplot: undefined, shape: "" };
  });
  let shown = [];
  const draw = (runs) => {
    shown = runs;
    for (const figure of figures) drawFigure(figure, runs);
  };
  const redraw = () => {
    for (const figure of figures) figure.shape = "";
    draw(shown);
  };
  addEventListener("resize", redraw);
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  return draw;
}

/** Draws one figure; the plot is made anew only where its series or its size changed. */
function drawFigure(figure, runs) {
  const { chart, plot } = figure;
  const series = runs.flatMap((run) => seriesOf(chart, run, runs.length > 1));
  const measured = series.filter(({ points }) => points.size > 0);
  figure.figure.hidden = measured.length === 0;
  if (measured.length === 0) return;
  const steps = [
    ...new Set(runs.flatMap(({ metrics }) => metrics.map(({ step }) => step))),
  ];
  steps.sort((a, b) => a - b);
  const data = [
    steps,
    ...measured.map(({ points }) => steps.map((step) => points.get(step))),
  ];
  plot.setAttribute("aria-label", describe(chart, measured, steps));
  const shape = measured.map(({ label }) => label).join() + plot.clientWidth;
  if (figure.uplot && figure.shape === shape) return figure.uplot.setData(data);
  figure.uplot?.destroy();
  figure.shape = shape;
  figure.uplot = new uPlot(
    options(chart, measured, plot.clientWidth),
    data,
    plot,
  );
}

/** The lines of a run in a chart. Where runs are compared, only the first one of each. */
function seriesOf(chart, { name, metrics, settings }, compared) {
  const series = Object.entries(chart.series).map(([metric, label]) => ({
    metric,
    label,
  }));
  for (const metric of chart.parts ? Object.keys(metrics.at(-1) ?? {}) : []) {
    const part = metric.match(chart.parts);
    if (part) series.push({ metric, label: part[1] });
  }
  for (const [metric, label] of Object.entries(chart.right?.series ?? {})) {
    series.push({ metric, label, right: true });
  }
  const drawn = series.map((line) => ({
    ...line,
    points: pointsOf(metrics, line.metric),
  }));
  if (compared) {
    return drawn.slice(0, 1).map((line) => ({
      ...line,
      label: `${name}: ${line.label}`,
    }));
  }
  return [...drawn, ...bandOf(chart, metrics, settings)];
}

/** Target and band; the metric, where there is one, follows what is set while the run goes on. */
function bandOf({ band }, metrics, settings) {
  if (!band) return [];
  const targets = metrics.map((row) => [row.step, row[band.metric] ?? settings[band.setting]])
    .filter(([, target]) => Number.isFinite(target));
  return Object.entries({ "target": 1, "target × 1.5": 1.5, "target / 1.5": 1 / 1.5 })
    .map(([label, factor]) => ({
      label,
      dashed: true,
      points: new Map(targets.map(([step, target]) => [step, target * factor])),
    }));
}

/** Values by step; what was not measured is left out. */
function pointsOf(metrics, name) {
  const measured = metrics.filter((row) => Number.isFinite(row[name]));
  return new Map(measured.map((row) => [row.step, row[name]]));
}

function options(chart, series, width) {
  const style = getComputedStyle(document.documentElement);
  const [text, grid] = ["--text", "--line"].map((name) => style.getPropertyValue(name));
  const axis = {
    stroke: text,
    grid: { stroke: grid, width: 1 },
    ticks: { stroke: grid },
  };
  const lines = series.map(({ label, right, dashed }, i) => ({
    label,
    scale: right ? "right" : "y",
    stroke: dashed ? COLOURS.at(-1) : COLOURS[i % (COLOURS.length - 1)],
    width: dashed ? 1 : 2,
    dash: dashed ? [6, 4] : undefined,
    spanGaps: true,
    points: { show: false },
    value: (_, value) => format(value),
  }));
  const values = (_, splits) => splits.map(format);
  const right = {
    ...axis,
    label: chart.right?.unit,
    labelSize: 18,
    scale: "right",
    side: 1,
    grid: { show: false },
    size: 60,
    values,
  };
  return {
    width,
    height: 220,
    scales: { x: { time: false } },
    hooks: { ready: [showLast], setData: [showLast], setCursor: [showLast] },
    series: [{ label: "step" }, ...lines],
    axes: [
      { ...axis, label: "step", labelSize: 18, incrs: WHOLE_STEPS },
      { ...axis, size: 60, values },
      ...(chart.right ? [right] : []),
    ],
  };
}

/** The legend's values: of the last step, unless someone points at another. */
function showLast(uplot) {
  if (uplot.cursor.idx === null || uplot.cursor.idx === undefined) {
    uplot.setLegend({ idx: uplot.data[0].length - 1 });
  }
}

/** What a screen reader says in place of the picture. */
function describe({ title, unit }, series, steps) {
  const last = series.map(({ label, points }) => `${label} ${format([...points.values()].at(-1))}`);
  return `${title}, ${unit}, over ${steps.length} steps; last: ${last.join(", ")}`;
}

/** Four significant digits. */
function format(value) {
  if (value === null || value === undefined) return "–";
  return Number.isFinite(value) ? String(Number(value.toPrecision(4))) : String(value);
}
