import { digits, type Point } from "./figures.ts";

/** A curve of a {@linkcode logChart}. */
export interface Curve {
  name: string;
  points: readonly Point[];
  /** A CSS colour. */
  color: string;
  dashed?: boolean;
}

const [WIDTH, HEIGHT] = [460, 340];
const MARGIN = { left: 62, right: 14, top: 34, bottom: 46 };

/** Curves on logarithmic axes as SVG, where y = c x^p is a line of slope p; one decade is as long on both where it fits. */
export function logChart(title: string, axes: { x: string; y: string }, curves: Curve[]): string {
  const points = curves.flatMap(({ points }) => points);
  const x = axis(points.map(({ x }) => x), MARGIN.left, WIDTH - MARGIN.right);
  const y = axis(points.map(({ y }) => y), HEIGHT - MARGIN.bottom, MARGIN.top);
  const [left, bottom] = [MARGIN.left, HEIGHT - MARGIN.bottom];
  const grid = [
    ...x.ticks.map((value) =>
      `<path d="M${x.at(value)} ${MARGIN.top}V${bottom}"/>` +
      text(x.at(value), bottom + 16, short(value), "middle")
    ),
    ...y.ticks.map((value) =>
      `<path d="M${left} ${y.at(value)}H${WIDTH - MARGIN.right}"/>` +
      text(left - 6, y.at(value) + 4, short(value), "end")
    ),
  ];
  const drawn = curves.map(({ points, color, dashed, name }, i) => {
    const path = points.map((point) => `${x.at(point.x)} ${y.at(point.y)}`).join("L");
    const dots = points.map((point) =>
      `<circle cx="${x.at(point.x)}" cy="${y.at(point.y)}" r="2.5" fill="${color}" stroke="none"/>`
    );
    const style = `stroke="${color}"${dashed ? ' stroke-dasharray="5 4"' : ""}`;
    const [keyX, keyY] = [left + 10, MARGIN.top + 12 + 15 * i];
    return `<path d="M${path}" fill="none" ${style} stroke-width="1.6"/>${
      dashed ? "" : dots.join("")
    }` +
      `<path d="M${keyX} ${keyY - 4}h18" ${style} stroke-width="1.6"/>` +
      text(keyX + 24, keyY, name, "start");
  });
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" ` +
    `font-family="system-ui, sans-serif" font-size="11" role="img" aria-label="${title}">` +
    `<g stroke="#ddd">${grid.join("")}</g>${drawn.join("")}` +
    text(WIDTH / 2, 18, title, "middle", ' font-size="14"') +
    text(WIDTH / 2, HEIGHT - 8, axes.x, "middle") +
    `<g transform="rotate(-90)">${text(-HEIGHT / 2, 14, axes.y, "middle")}</g></svg>`;
}

/** Where values lie between two pixels, and powers of ten, or of two where there are few, to mark. */
function axis(values: readonly number[], from: number, to: number) {
  const [low, high] = [Math.min(...values) / 1.15, Math.max(...values) * 1.15];
  const at = (value: number) =>
    Number((from + (to - from) * Math.log(value / low) / Math.log(high / low)).toFixed(1));
  const base = high / low > 300 ? 10 : high / low > 20 ? 4 : 2;
  const ticks: number[] = [];
  for (let power = Math.ceil(Math.log(low) / Math.log(base)); base ** power <= high; power++) {
    ticks.push(base ** power);
  }
  return { at, ticks };
}

function text(x: number, y: number, content: string, anchor: string, rest = ""): string {
  return `<text x="${x}" y="${y}" text-anchor="${anchor}" fill="#333" stroke="none"${rest}>${content}</text>`;
}

/** 0.25, 4, 1024, 4 M. */
function short(value: number): string {
  return value < 1e6 ? String(Number(value.toPrecision(4))) : `${digits(value / 1e6)} M`;
}
