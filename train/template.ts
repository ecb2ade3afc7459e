/** Jinja templates that make prompts of records, and say so when a record lacks something. */

import { Environment, type Interpreter, type Template } from "@huggingface/jinja";
import { BoundedInterpreter, parseTemplate } from "../model/bounded_jinja.ts";

/** A template that cannot be parsed, or a record that cannot be rendered with it. */
export class TemplateError extends SyntaxError {
  /** The name of the class. */
  override name = "TemplateError";
}

/** Makes text of one record; throws {@linkcode TemplateError}. */
export type Render = (record: Readonly<Record<string, unknown>>) => string;

/** Names that are no variables of the record. */
const CONSTANTS = { true: true, True: true, false: false, False: false, none: null, None: null };

/**
 * Compiles a Jinja template.
 *
 * Unlike Jinja's own default, a variable that the record lacks, or that is null there, is an error
 * rather than empty text, as with its `StrictUndefined`: `{{ title | default("it") }}` and
 * `{% if title is defined %}` are the ways to allow for it.
 *
 * @throws {TemplateError} If `source` cannot be parsed.
 */
export function compileTemplate(source: string): Render {
  let template: Template;
  try {
    template = parseTemplate(source);
  } catch (error) {
    // The parser trips over the end of the text where it expects more.
    const problem = error instanceof TypeError ? "it ends inside a block" : messageOf(error);
    throw new TemplateError(
      `Cannot use the template ${JSON.stringify(source)}: ${problem}; correct it`,
      { cause: error },
    );
  }
  return (record) => {
    try {
      const environment = new Environment();
      for (const [name, value] of Object.entries({ ...CONSTANTS, ...record })) {
        if (value !== null || name in CONSTANTS) environment.set(name, value);
      }
      return String(new StrictInterpreter(environment).run(template.parsed).value);
    } catch (error) {
      if (error instanceof TemplateError) throw error;
      throw new TemplateError(`the template fails with "${messageOf(error)}"; correct it`, {
        cause: error,
      });
    }
  };
}

type Node = Parameters<Interpreter["evaluate"]>[0];
type Value = ReturnType<Interpreter["evaluate"]>;

/** Refuses undefined values, but for tests and filters that are there to deal with them. */
class StrictInterpreter extends BoundedInterpreter {
  /** How many such tests and filters are being evaluated. */
  #lenient = 0;

  override evaluate(node: Node, environment: Environment): Value {
    const handles = handlesUndefined(node);
    if (handles) this.#lenient++;
    const value = super.evaluate(node, environment);
    if (handles) this.#lenient--;

    const path = pathOf(node);
    if (value.type === "UndefinedValue" && path !== undefined && this.#lenient === 0) {
      throw new TemplateError(
        `the record has no ${path}, which the template uses; ` +
          `add it, or write {{ ${path} | default("") }}`,
      );
    }
    return value;
  }
}

/** `x is defined`, `x is undefined`, `x | default(…)`. */
function handlesUndefined(node: Node): boolean {
  if (node?.type === "TestExpression") {
    const { test } = node as unknown as { test: { value: string } };
    return test.value === "defined" || test.value === "undefined";
  }
  if (node?.type === "FilterExpression") {
    const { filter } = node as unknown as {
      filter: { value?: string; callee?: { value: string } };
    };
    return (filter.callee ?? filter).value === "default";
  }
  return false;
}

/** `movie.title` for the nodes that name something; undefined for all others. */
function pathOf(node: Node): string | undefined {
  if (node?.type === "Identifier") return (node as unknown as { value: string }).value;
  if (node?.type !== "MemberExpression") return undefined;
  const { object, property } = node as unknown as { object: Node; property: { value?: unknown } };
  return `${pathOf(object) ?? "…"}.${property.value ?? "…"}`;
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
