/**
 * An explained PPO step as one HTML file that works offline and loads nothing.
 *
 * It has no script. Prompts and tokens are a stranger's: they reach the page as escaped text, and the policy in its head
 * allows nothing but its own styles, by their hash.
 *
 * @module
 */
import { type ExplainedSection, type ExplainedTensor, figure, visible } from "./explain_tensors.ts";
import { escapeHtml, pageHead, sourceHash } from "./html.ts";
import explainStyle from "./page/explain.css" with { type: "text" };
import style from "./page/page.css" with { type: "text" };

const TITLE = "One PPO step, explained";

/** Steps of colour between the neutral value and the one farthest from it. */
const LEVELS = 5;

/**
 * The page of a step.
 *
 * @param about What was explained: model, adapter, prompts; a paragraph each.
 */
export async function explainPage(
  sections: readonly ExplainedSection[],
  about: readonly string[],
): Promise<string> {
  const styles = `${style}\n${explainStyle}`;
  const policy = `default-src 'none'; style-src ${await sourceHash(styles)}; base-uri 'none'; ` +
    "form-action 'none'";
  return `${pageHead({ title: TITLE, policy, styles })}
<header>
<h1>${TITLE}</h1>
${about.map((line) => `<p>${escapeHtml(line)}</p>`).join("\n")}
<p class="muted">A cell is blue where its number is above the neutral value of its tensor and orange below, the stronger
the farther; the neutral value is 0, and 1 for ratios.</p>
</header>
<nav aria-label="Parts of the step"><ol>
${
    sections.map(({ title }, i) => `<li><a href="#part-${i + 1}">${escapeHtml(title)}</a></li>`)
      .join("\n")
  }
</ol></nav>
<main>
${sections.map(sectionHtml).join("\n")}
</main>
</body>
</html>
`;
}

function sectionHtml(
  { title, formulas, code, tensors, notes }: ExplainedSection,
  index: number,
): string {
  const id = `part-${index + 1}`;
  const list = (kind: string, items: string[]) =>
    items.length === 0
      ? ""
      : `<ul class="${kind}">${items.map((item) => `<li>${item}</li>`).join("\n")}</ul>`;
  return `<section id="${id}" aria-labelledby="${id}-title">
<h2 id="${id}-title">${index + 1}. ${escapeHtml(title)}</h2>
${
    list(
      "formulas",
      formulas.map(({ formula, source }) =>
        `<code>${escapeHtml(formula)}</code> <span class="muted">${escapeHtml(source)}</span>`
      ),
    )
  }
<p class="muted">Code: ${escapeHtml(code)}</p>
${
    list(
      "tensors",
      tensors.map(({ name, shape, doc }) =>
        `<code>${escapeHtml(name)}</code> ${escapeHtml(shape)}: ${escapeHtml(doc)}`
      ),
    )
  }
<div class="tables">${tablesOf(tensors).join("\n")}</div>
${list("notes", notes.map((note) => `<bdi>${escapeHtml(note)}</bdi>`))}
</section>`;
}

/** Tensors over tokens side by side, a table for each response with a row for each token; then the others. */
function tablesOf(tensors: readonly ExplainedTensor[]): string[] {
  const overTokens = tensors.filter(({ across }) => across === "tokens");
  const { of, columns } = overTokens[0] ?? { of: "", columns: [] };
  return [
    ...columns.map((tokens, b) =>
      table(`${of} ${b}`, {
        corner: "token",
        head: overTokens.map(({ name }) => name),
        rows: tokens.map((token, t) => ({
          label: `<th scope="row" class="token"><bdi>${escapeHtml(visible(token))}</bdi></th>`,
          cells: overTokens.map((tensor) => cell(tensor, tensor.rows[b][t])),
        })),
      })
    ),
    ...tensors.filter(({ across }) => across === "figures").map((tensor) =>
      table(tensor.name, {
        corner: tensor.of,
        head: tensor.columns[0] ?? [],
        rows: tensor.rows.map((row, i) => ({
          label: `<th scope="row">${escapeHtml(tensor.labels?.[i] ?? String(i))}</th>`,
          cells: row.map((x) => cell(tensor, x)),
        })),
      })
    ),
  ];
}

/** In a region of its own that scrolls, by the keyboard too, where the screen is narrow. */
function table(caption: string, { corner, head, rows }: {
  corner: string;
  head: readonly string[];
  /** As HTML. */
  rows: readonly { label: string; cells: readonly string[] }[];
}): string {
  const names = [corner, ...head].map((name) => `<th scope="col">${escapeHtml(name)}</th>`);
  const body = rows.map(({ label, cells }) => `<tr>${label}${cells.join("")}</tr>`);
  const name = escapeHtml(caption);
  return `<div class="scroll" role="region" aria-label="${name}" tabindex="0"><table>` +
    `<caption>${name}</caption><thead><tr>${names.join("")}</tr></thead>` +
    `<tbody>${body.join("\n")}</tbody></table></div>`;
}

function cell({ neutral, rows }: ExplainedTensor, x: number): string {
  const colour = neutral === undefined ? "" : colourOf(x - neutral, farthest(rows, neutral));
  return `<td class="number${colour}">${figure(x)}</td>`;
}

/** " high3" where `x` is three fifths of the way up to `most`. */
function colourOf(x: number, most: number): string {
  const level = most === 0 ? 0 : Math.round(LEVELS * Math.abs(x) / most);
  return level === 0 || Number.isNaN(level) ? "" : ` ${x > 0 ? "high" : "low"}${level}`;
}

function farthest(rows: readonly (readonly number[])[], neutral: number): number {
  return Math.max(0, ...rows.flat().map((x) => Math.abs(x - neutral)));
}
