import cases from "../fixtures/cases.json" with { type: "json" };

/** One numeric case: batches are (B, R) rows with 0/1 masks, all in f64. */
export interface Case<Options, Input, Expected> {
  name: string;
  options: Options;
  input: Input;
  expected: Expected;
}

/**
 * The numeric cases of one operation in tests/fixtures/cases.json, named `#0 (source)` and so on.
 *
 * The type arguments say what the file holds; it is checked in, so nothing is validated.
 */
export function casesOf<Options, Input, Expected>(op: string): Case<Options, Input, Expected>[] {
  const found = cases.filter((entry) => entry.op === op);
  if (found.length === 0) throw new Error(`Cannot find a case of ${op} in cases.json`);
  return found.map((entry, i) => ({
    name: `#${i} (${entry.source})`,
    options: entry.options as Options,
    input: entry.input as Input,
    expected: entry.expected as Expected,
  }));
}
