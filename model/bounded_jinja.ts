/** Jinja for templates of strangers: a template can neither read nor run anything, but it could go on without end. */

import { Environment, Interpreter, Template } from "@huggingface/jinja";

type Node = Parameters<Interpreter["evaluate"]>[0];
type Value = ReturnType<Interpreter["evaluate"]>;

/** Characters of a template; those of models in circulation have some thousands. */
const LONGEST_SOURCE = 1e6;

/** Entries of a list that a template makes, and characters of a text: more than any model's context holds. */
const LONGEST_LIST = 1e5;
const LONGEST_TEXT = 1e6;

/** What all steps may cost together: a second or a few. A chat of a thousand messages costs some ten thousands. */
const MOST_WORK = 1e6;

/** What reading an entry or a character costs, where a step of the template costs 1. */
const READING = 0.05;

/** Ends with an error what takes too long, or makes lists or texts that are too large. */
export class BoundedInterpreter extends Interpreter {
  /** What loops go over, each as often as it has entries. */
  readonly #looped = new WeakSet<object>();
  #work = 0;

  /** The value of a part of the template. */
  override evaluate(node: Node, environment: Environment): Value {
    if (node?.type === "For") this.#looped.add(iterableOf(node));
    const value = super.evaluate(node, environment);
    const size = sizeOf(value);
    expectSize(size, typeof value.value === "string" ? LONGEST_TEXT : LONGEST_LIST);
    const isRead = typeof value.value === "string" || isName(node) && !this.#looped.has(node!);
    this.#work += 1 + (isRead ? READING : 1) * size;
    if (this.#work > MOST_WORK) throw new RangeError(`it takes more than ${MOST_WORK} steps`);
    return value;
  }
}

/** What a template may use beside its variables, as `Template.render` of the library gives it. */
const GLOBALS: Readonly<Record<string, unknown>> = {
  true: true,
  True: true,
  false: false,
  False: false,
  none: null,
  None: null,
  range,
  raise_exception(message: unknown): never {
    throw new Error(String(message));
  },
  strftime_now: (format: unknown) => new Template("{{ strftime_now(f) }}").render({ f: format }),
};

/**
 * Parses a template, with the blocks trimmed as chat templates expect.
 *
 * @throws {RangeError} If it is too long.
 * @throws {Error} If it is not Jinja.
 */
export function parseTemplate(source: string): Template {
  if (source.length > LONGEST_SOURCE) {
    throw new RangeError(`it has more than ${LONGEST_SOURCE} characters`);
  }
  return new Template(source);
}

/**
 * The text that a template makes.
 *
 * @throws {RangeError} If it takes too long, or makes something too large.
 * @throws {Error} If it fails.
 */
export function renderBounded(
  { parsed }: Template,
  variables: Readonly<Record<string, unknown>>,
): string {
  const environment = new Environment();
  for (const [name, value] of Object.entries({ ...GLOBALS, ...variables })) {
    environment.set(name, value);
  }
  return String(new BoundedInterpreter(environment).run(parsed).value);
}

/** Python's, of a list no longer than there may be. */
function range(first: number, second?: number, step = 1): number[] {
  const [start, stop] = second === undefined ? [0, first] : [first, second];
  if (step === 0) throw new RangeError("range() step must not be zero");
  const length = Math.max(0, Math.ceil((stop - start) / step));
  expectSize(length, LONGEST_LIST);
  return Array.from({ length }, (_, i) => start + i * step);
}

function expectSize(size: number, most: number): void {
  if (size <= most) return;
  throw new RangeError(`it makes a list or text of more than ${most} entries or characters`);
}

function sizeOf({ value }: Value): number {
  if (typeof value === "string" || Array.isArray(value)) return value.length;
  return value instanceof Map ? value.size : 0;
}

/** What a loop goes over, before its condition chooses. */
function iterableOf(node: Node): object {
  const { iterable } = node as unknown as { iterable: { type: string; lhs?: object } };
  return iterable.type === "SelectExpression" ? iterable.lhs! : iterable;
}

/** Whether a part of the template names a value that is there, in place of making one. */
function isName(node: Node): boolean {
  return node?.type === "Identifier" || node?.type === "MemberExpression";
}
