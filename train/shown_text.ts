/** Texts of strangers, models above all, made fit for a terminal. */

/**
 * Control characters, what changes the direction of writing, and separators that no font shows: with these a text could
 * steer a terminal, or look other than it is.
 */
const UNSEEN = /[\p{Cc}\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb]/gu;

const SHORT: Record<string, string> = { "\n": "\\n", "\t": "\\t", "\r": "\\r" };

/** The text in one line, every character of it visible: `\n`, `\x1b` and `\u202e` stand for what cannot be seen. */
export function visible(text: string): string {
  return text.replaceAll(UNSEEN, (character) => {
    const code = character.charCodeAt(0).toString(16);
    return SHORT[character] ??
      (code.length > 2 ? `\\u${code.padStart(4, "0")}` : `\\x${code.padStart(2, "0")}`);
  });
}

/** What a terminal gives two columns: the wide characters of Unicode's UAX #11, by their blocks, and emoji. */
const WIDE =
  /^(?:\p{Emoji_Presentation}|\p{Extended_Pictographic}\ufe0f|[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff01-\uff60\uffe0-\uffe6\u{20000}-\u{3fffd}])/u;

/** Columns that a text takes on a terminal. */
export function columnsOf(text: string): number {
  return graphemes(text).reduce((sum, part) => sum + (WIDE.test(part) ? 2 : 1), 0);
}

/** What people take for characters: a letter with its accents is one. */
function graphemes(text: string): string[] {
  return Array.from(new Intl.Segmenter().segment(text), ({ segment }) => segment);
}

/** Fills a text up with spaces to so many columns. */
export function padColumns(text: string, columns: number): string {
  return text + " ".repeat(Math.max(0, columns - columnsOf(text)));
}

/** Breaks a text into lines of at most so many columns, between words where there are any. At least one line. */
export function wrap(text: string, columns: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    const longer = line === "" ? word : `${line} ${word}`;
    if (columnsOf(longer) <= columns) {
      line = longer;
      continue;
    }
    if (line !== "") lines.push(line);
    const pieces = cut(word, columns);
    line = pieces.pop()!;
    lines.push(...pieces);
  }
  return [...lines, line];
}

/** Cuts a word into pieces of at most so many columns; a character that is wider stands alone. */
function cut(word: string, columns: number): string[] {
  const pieces = [""];
  for (const character of graphemes(word)) {
    const longer = pieces.at(-1)! + character;
    if (pieces.at(-1) === "" || columnsOf(longer) <= columns) pieces[pieces.length - 1] = longer;
    else pieces.push(character);
  }
  return pieces;
}
