/** Sections of an explanation as lines for a terminal. */

import { type ExplainedSection, type ExplainedTensor, figure, visible } from "./explain_tensors.ts";

/** Columns side by side, and how wide they are, in characters. */
const COLUMNS = 8;
const WIDTH = 10;
const LABEL = 22;

/** A section with its number: formulas with their sources, tables, notes. */
export function sectionLines(section: ExplainedSection, number: number): string[] {
  const { title, formulas, code, tensors, notes } = section;
  return [
    "",
    `${number}. ${title}`,
    ...formulas.flatMap(({ formula, source }) => [`   ${formula}`, `       [${source}]`]),
    `   code: ${code}`,
    ...tensors.flatMap((tensor) => ["", ...tensorLines(tensor)]),
    ...(notes.length > 0 ? [""] : []),
    ...notes.map((note) => `   ${note}`),
  ];
}

/** Name, shape and meaning, then a row for each response, under its tokens; long rows are broken. */
function tensorLines(
  { name, shape, doc, of, labels, rows, columns }: ExplainedTensor,
): string[] {
  const lines = [`   ${name} ${shape}: ${doc}`];
  let shown = ""; // columns that stand above already
  for (const [b, row] of rows.entries()) {
    const label = `     ${labels?.[b] ?? `${of} ${b}`}`.padEnd(LABEL);
    for (let from = 0; from < row.length; from += COLUMNS) {
      const part = <T>(cells: readonly T[]) => cells.slice(from, from + COLUMNS);
      const head = part(columns[b]).map((text) => cell(cut(visible(text)))).join("");
      if (head !== shown) lines.push(" ".repeat(LABEL) + head);
      shown = head;
      lines.push(
        (from === 0 ? label : " ".repeat(LABEL)) + part(row).map((x) => cell(figure(x))).join(""),
      );
    }
  }
  return lines;
}

/** Cut where it is too long for a column. */
function cut(text: string): string {
  return text.length < WIDTH ? text : `${text.slice(0, WIDTH - 2)}…`;
}

function cell(text: string): string {
  return text.padStart(WIDTH);
}
