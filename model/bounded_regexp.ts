/** Regular expressions of strangers: JavaScript's have no time limit, and a bad one keeps a program busy for years. */

/** Parts of an alternative that repeat without end: each makes the time grow with one more power of a text's length. */
const MOST_ENDLESS = 2;

/** Choices on the way through an alternative, each of which can double the time. The pattern of GPT-4o has 8. */
const MOST_CHOICES = 8;

/** In the order of a pattern: escapes, classes, starts of groups, quantifiers, and characters. */
const PARTS =
  /\\[pPux]\{[^}]*\}|\\[^]|\[(?:\\[^]|[^\]\\])*\]|\(\?(?:<[=!]|<[^>]*>|[=!]|[a-z-]*:)|[*+?]\??|\{\d+(?:,\d*)?\}\??|[^]/gu;

/**
 * Whether the time that an expression takes may double with each character of a text, or grow with more than the third
 * power of its length: it refers back, repeats what can itself match in several ways, or has many ways through an
 * alternative. Those of known tokenizers do not; some of which this says so would not either.
 */
export function mayHang({ source }: RegExp): boolean {
  const groups = [{ varies: false }]; // the innermost last; what is outside of all first
  let atom = { varies: false }; // what a quantifier would repeat
  let [endless, choices] = [0, 0];
  for (const [part] of source.matchAll(PARTS)) {
    const group = groups.at(-1)!;
    if (/^\\[1-9k]/.test(part)) return true;
    if (/^(?:[*+?]|\{.)/.test(part)) {
      if (atom.varies && !part.startsWith("?")) return true;
      const [least, most] = timesOf(part);
      if (most - least > MOST_CHOICES) endless++;
      else choices += most - least;
      group.varies ||= most > least;
    } else if (part === "|" && groups.length === 1) {
      [endless, choices] = [0, 0];
    } else if (part === "|") {
      choices++;
      group.varies = true;
    } else if (part.startsWith("(")) {
      groups.push({ varies: false });
    } else if (part === ")" && groups.length > 1) {
      atom = groups.pop()!;
      groups.at(-1)!.varies ||= atom.varies;
    } else {
      atom = { varies: false };
    }
    if (endless > MOST_ENDLESS || choices > MOST_CHOICES) return true;
  }
  return false;
}

/** How often a quantifier repeats: at least, and at most. */
function timesOf(quantifier: string): [number, number] {
  const [, least, comma, most] = /^\{(\d+)(,?)(\d*)\}/.exec(quantifier) ?? [];
  if (least === undefined) {
    return [quantifier[0] === "+" ? 1 : 0, quantifier[0] === "?" ? 1 : Infinity];
  }
  if (comma === "") return [Number(least), Number(least)];
  return [Number(least), most === "" ? Infinity : Number(most)];
}

/** The regular expressions in something and all its parts, such as those that a library made from a file. */
export function regExpsIn(whole: unknown): RegExp[] {
  const found = new Set<unknown>([whole]);
  for (const part of found) { // a set that grows while it is gone through
    const hasParts = typeof part === "function" || (typeof part === "object" && part !== null);
    if (hasParts) { for (const inner of Object.values(part)) found.add(inner); }
  }
  return [...found].filter((part) => part instanceof RegExp);
}
