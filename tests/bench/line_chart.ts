/** Figures of small line charts as SVG, for documents: legible on a light and on a dark page, in print and without colours. */

/** A line of a panel. */
export interface Line {
  label: string;
  points: readonly { x: number; y: number }[];
  /** Also marks each point. */
  dots?: boolean;
}

/** One chart of a figure. */
export interface Panel {
  title: string;
  /** What the lines show, at most four of them. */
  lines: readonly Line[];
  /** Constant values to compare with. */
  levels?: readonly { label: string; y: number }[];
  xLabel: string;
  xLog?: boolean;
  yLog?: boolean;
}

/** Several panels, two side by side, with one description for those who cannot see them. */
export interface Figure {
  title: string;
  description: string;
  panels: readonly Panel[];
}

const PANEL = { width: 400, height: 230 };
const PLOT = { left: 52, top: 48, right: 388, bottom: 190 };
/** Lines differ by their dashes too. */
const DASHES = ["none", "7 3", "2 3", "9 3 2 3"];

/** Okabe and Ito's colours, lighter where the page is dark. */
const STYLE = `
  svg { --ground: #ffffff; --text: #1b1f24; --muted: #59636e; --grid: #d9dfe5;
        --line0: #0072b2; --line1: #d55e00; --line2: #00815f; --line3: #a8467f; }
  @media (prefers-color-scheme: dark) {
    svg { --ground: #14181d; --text: #e6e9ec; --muted: #a5afb9; --grid: #323b45;
          --line0: #56b4e9; --line1: #ff9151; --line2: #33c9a0; --line3: #e79ac5; }
  }
  text { font: 12px system-ui, sans-serif; fill: var(--text); }
  .title { font-weight: 600; font-size: 13px; }
  .muted { fill: var(--muted); }
  .halo { paint-order: stroke; stroke: var(--ground); stroke-width: 4px; }
  path { fill: none; stroke-width: 1.8; stroke-linejoin: round; }
  .grid { stroke: var(--grid); stroke-width: 1; }
  .level { stroke: var(--muted); stroke-width: 1; stroke-dasharray: 4 4; }
${
  DASHES.map((dash, i) =>
    `  .line${i} { stroke: var(--line${i}); stroke-dasharray: ${dash}; }  .dot${i} { fill: var(--line${i}); }`
  ).join("\n")
}
`;

/** The SVG document of a figure; the same figure gives the same text. */
export function figureSvg({ title, description, panels }: Figure): string {
  const width = PANEL.width * Math.min(2, panels.length);
  const height = PANEL.height * Math.ceil(panels.length / 2);
  const placed = panels.map((panel, i) =>
    `<g transform="translate(${PANEL.width * (i % 2)} ${PANEL.height * Math.floor(i / 2)})">\n${
      panelSvg(panel)
    }\n</g>`
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" aria-labelledby="t d">
<title id="t">${escape(title)}</title>
<desc id="d">${escape(description)}</desc>
<style>${STYLE}</style>
<rect width="${width}" height="${height}" fill="var(--ground)"/>
${placed.join("\n")}
</svg>
`;
}

function panelSvg(
  { title, lines, levels = [], xLabel, xLog = false, yLog = false }: Panel,
): string {
  const points = lines.flatMap(({ points }) => points);
  const x = scale(points.map(({ x }) => x), { log: xLog, from: PLOT.left, to: PLOT.right });
  const y = scale([...points.map(({ y }) => y), ...levels.map(({ y }) => y)], {
    log: yLog,
    whole: true,
    from: PLOT.bottom,
    to: PLOT.top,
  });
  const parts = [text(PLOT.left - 40, 18, title, { kind: "title" })];
  for (const value of y.ticks) {
    parts.push(rule("grid", y.at(value)));
    parts.push(
      text(PLOT.left - 6, y.at(value) + 4, shown(value), { kind: "muted", anchor: "end" }),
    );
  }
  for (const value of x.ticks) {
    parts.push(
      text(x.at(value), PLOT.bottom + 16, shown(value), { kind: "muted", anchor: "middle" }),
    );
  }
  const middle = (PLOT.left + PLOT.right) / 2;
  parts.push(text(middle, PLOT.bottom + 33, xLabel, { kind: "muted", anchor: "middle" }));
  const lowest = Math.min(...levels.map(({ y }) => y));
  for (const { label, y: value } of levels) {
    parts.push(rule("level", y.at(value)));
    parts.push(
      text(PLOT.right, y.at(value) + (value === lowest ? 14 : -4), label, {
        kind: "muted halo",
        anchor: "end",
      }),
    );
  }
  let left = PLOT.left - 40;
  for (const [i, { label, points, dots }] of lines.entries()) {
    const at = points.map((point) => `${round(x.at(point.x))} ${round(y.at(point.y))}`);
    parts.push(`<path class="line${i}" d="M${at.join("L")}"/>`);
    if (dots) {
      for (const place of at) {
        const [cx, cy] = place.split(" ");
        parts.push(`<circle class="dot${i}" cx="${cx}" cy="${cy}" r="3"/>`);
      }
    }
    if (lines.length === 1) continue;
    parts.push(`<path class="line${i}" d="M${left} 32h22"/>`);
    parts.push(text(left + 27, 36, label));
    left += 46 + 6.4 * label.length;
  }
  return parts.join("\n");
}

/** Where values lie on an axis, which ends a little beyond them or, with `whole`, at round ones. */
function scale(
  values: readonly number[],
  { log = false, whole = false, from, to }: {
    log?: boolean;
    whole?: boolean;
    from: number;
    to: number;
  },
): { at(value: number): number; ticks: number[] } {
  const form = log ? Math.log10 : (value: number) => value;
  const [low, high] = [Math.min(...values), Math.max(...values)];
  const ticks = log ? logTicks(low, high) : evenTicks(low, high);
  const margin = 0.05 * (form(high) - form(low)) || 0.5;
  const [first, last] = whole && !log
    ? [ticks[0], ticks.at(-1)!]
    : [form(low) - margin, form(high) + margin];
  const at = (value: number) => from + (to - from) * (form(value) - first) / (last - first);
  const inside = (value: number) => form(value) >= first && form(value) <= last;
  return { at, ticks: ticks.filter(inside) };
}

/** About five multiples of 1, 2 or 5 times a power of ten, around the values. */
function evenTicks(low: number, high: number): number[] {
  const rough = (high - low || 1) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((m) => m * power).find((step) => step >= rough)!;
  const first = Math.floor(low / step);
  const count = Math.ceil(high / step) - first;
  return Array.from({ length: count + 1 }, (_, i) => (first + i) * step);
}

/** Powers of ten, with 2 and 5 times them where there are few. */
function logTicks(low: number, high: number): number[] {
  const [first, last] = [Math.floor(Math.log10(low)), Math.ceil(Math.log10(high))];
  const factors = last - first > 3 ? [1] : last - first > 2 ? [1, 3] : [1, 2, 5];
  return Array.from(
    { length: last - first + 1 },
    (_, i) => factors.map((f) => f * 10 ** (first + i)),
  )
    .flat();
}

function rule(kind: string, y: number): string {
  return `<path class="${kind}" d="M${PLOT.left} ${round(y)}H${PLOT.right}"/>`;
}

function text(
  x: number,
  y: number,
  content: string,
  { kind, anchor }: { kind?: string; anchor?: "middle" | "end" } = {},
): string {
  const attributes = (kind ? ` class="${kind}"` : "") + (anchor ? ` text-anchor="${anchor}"` : "");
  return `<text x="${round(x)}" y="${round(y)}"${attributes}>${escape(content)}</text>`;
}

function round(x: number): number {
  return Math.round(10 * x) / 10;
}

function shown(value: number): string {
  const rounded = Number(value.toPrecision(3));
  return rounded !== 0 && Math.abs(rounded) < 1e-3 ? rounded.toExponential() : String(rounded);
}

function escape(content: string): string {
  return content.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
}
