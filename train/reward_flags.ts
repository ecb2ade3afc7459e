/** Values of flags that `deno task reward` alone has. */

import { InvalidArgumentError } from "commander";
import { positive } from "./flag_values.ts";

/** Parser of `FILE:weight`. */
export function weakFile(text: string): { file: string; weight: number } {
  const [file, weight] = beforeAndAfter(text, "a file and a weight, such as weak.jsonl:0.3");
  return { file, weight: positive(weight) };
}

/** Parser of `source:share`, which may come several times. */
export function sourceShares(
  text: string,
  previous: ReadonlyMap<string, number> = new Map(),
): ReadonlyMap<string, number> {
  const [source, share] = beforeAndAfter(text, "a source and a share, such as reviews:0.5");
  return new Map([...previous, [source, positive(share)]]);
}

/** Parser of names with commas between, all different. */
export function names(text: string): string[] {
  const found = text.split(",").map((name) => name.trim());
  if (found.includes("") || new Set(found).size < found.length) {
    throw new InvalidArgumentError("It must be different names with commas between them.");
  }
  return found;
}

/** What is before and after the last colon, since a path may have one too. */
function beforeAndAfter(text: string, expected: string): [string, string] {
  const colon = text.lastIndexOf(":");
  if (colon < 1) throw new InvalidArgumentError(`It must be ${expected}.`);
  return [text.slice(0, colon), text.slice(colon + 1)];
}
