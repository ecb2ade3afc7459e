const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";

/**
 * What a name in capitals becomes by one slip: a letter left out, swapped with the next, wrong, or too many.
 *
 * Source: P. Norvig, "How to Write a Spelling Corrector", 2007.
 */
export function* slips(name: string): Generator<string> {
  for (let at = 0; at <= name.length; at++) {
    const [before, after] = [name.slice(0, at), name.slice(at)];
    if (after !== "") yield before + after.slice(1);
    if (after.length > 1) yield before + after[1] + after[0] + after.slice(2);
    for (const letter of LETTERS) {
      if (after !== "") yield before + letter + after.slice(1);
      yield before + letter + after;
    }
  }
}
