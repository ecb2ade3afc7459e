import { assert, assertEquals, assertThrows } from "@std/assert";
import { Template } from "@huggingface/jinja";
import { parseTemplate, renderBounded } from "../../model/bounded_jinja.ts";

const MESSAGES = Array.from({ length: 200 }, (_, i) => ({
  role: i % 2 === 0 ? "user" : "assistant",
  content: `${i} `.repeat(250),
}));

/** As in templates in circulation: every kind of name, loop and function that they use. */
const TEMPLATES = [
  "{% for message in messages %}{{ '<|' + message['role'] + '|>\n' + message['content'] | trim }}{% endfor %}",
  "{%- set ns = namespace(text='') %}{% for m in messages %}{% set ns.text = ns.text ~ m.role[0] %}" +
  "{% if loop.last %}{{ ns.text }}{% endif %}{% endfor %}",
  "{% for i in range(3) %}{{ i }}{% endfor %}{{ range(2, 5) | join(',') }}{{ range(9, 0, -4) | join }}",
  "{{ range(5, 2) | length }}{{ range(0, 7, 3) | list | tojson }}",
  "{{ none is none }}{{ None }}{{ true and True }}{{ false or False }}{{ nothing is defined }}",
  "{% if date is not defined %}{% set date = strftime_now('%Y') %}{% endif %}{{ date }}",
  "{% macro twice(x) %}{{ x }}{{ x }}{% endmacro %}{{ twice(messages | length) }}",
];

Deno.test("renderBounded() renders as the library does", () => {
  for (const source of TEMPLATES) {
    const expected = new Template(source).render({ messages: MESSAGES });
    assertEquals(renderBounded(parseTemplate(source), { messages: MESSAGES }), expected, source);
    assert(expected !== "", source);
  }
});

/** `count` loops, one in the other, over `list`. */
function nested(count: number, list: string, body = ""): string {
  return `{% for i in ${list} %}`.repeat(count) + body + "{% endfor %}".repeat(count);
}

const HOSTILE: Record<string, [source: string, says: RegExp]> = {
  "a loop that would never end": ["{% for i in range(10 ** 15) %}{% endfor %}", /.*/],
  "a long range": [
    "{{ range(1000000000) | length }}",
    /a list or text of more than 100000 entries/,
  ],
  "a range of small steps": [
    "{{ range(0, 1, 0.000000001) | length }}",
    /more than 100000 entries/,
  ],
  "nested loops": [nested(12, "range(100)"), /it takes more than 1000000 steps/],
  "nested loops over a literal": [nested(30, "[1, 2, 3, 4]"), /it takes more than/],
  "a list that doubles": [
    "{% set ns = namespace(a=[1]) %}{% for i in range(99) %}{% set ns.a = ns.a + ns.a %}{% endfor %}",
    /a list or text of more than 100000 entries/,
  ],
  "a text that doubles": [
    "{% set ns = namespace(a='ab') %}{% for i in range(99) %}{% set ns.a = ns.a ~ ns.a %}{% endfor %}",
    /a list or text of more than 1000000 entries/,
  ],
  "searches in a long list": [
    "{% set long = range(100000) %}" + nested(2, "long", "{{ '' if -1 in long }}"),
    /it takes more than/,
  ],
  "sorts of a long list": [
    "{% set long = range(100000) %}" + nested(2, "range(1000)", "{{ '' if long | sort }}"),
    /it takes more than/,
  ],
  "macros that call themselves": [
    "{% macro f(n) %}{% if n > 0 %}{{ f(n - 1) }}{{ f(n - 1) }}{% endif %}{% endmacro %}{{ f(60) }}",
    /it takes more than/,
  ],
  "macros without an end": ["{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", /[Cc]all/],
};

for (const [name, [source, says]] of Object.entries(HOSTILE)) {
  Deno.test(`renderBounded() ends ${name}`, () => {
    const error = assertThrows(() => renderBounded(parseTemplate(source), { messages: [] }), Error);
    assert(says.test((error as Error).message), (error as Error).message);
  });
}

Deno.test("parseTemplate() refuses a template longer than any", () => {
  assertThrows(
    () => parseTemplate("x".repeat(1e6 + 1)),
    RangeError,
    "more than 1000000 characters",
  );
});
