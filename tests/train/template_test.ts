import { assertEquals, assertStringIncludes, assertThrows } from "@std/assert";
import { compileTemplate, TemplateError } from "../../train/template.ts";

const record = {
  title: "Heat",
  year: 1995,
  cast: [{ name: "Al" }, { name: "Robert" }],
  sequel: null,
};

const RENDERED: Record<string, string> = {
  "A review of {{ title }}:": "A review of Heat:",
  "{{ title | upper }}, {{ year }}": "HEAT, 1995",
  "{% for actor in cast %}{{ actor.name }}{{ ', ' if not loop.last }}{% endfor %}": "Al, Robert",
  "{% set t = title %}{% if t == 'Heat' and true %}hot{% else %}{{ missing }}{% endif %}": "hot",
  "{{ cast[1].name[0] }}{{ cast | length }}": "R2",
  "{% if genre is defined %}{{ genre }}{% else %}film{% endif %}": "film",
  "{{ genre | default('film') }} {{ studio.name | default('') }}": "film ",
  "{{ sequel is undefined }} {{ sequel | default('none') }}": "true none",
  "{% macro twice(x) %}{{ x }}{{ x }}{% endmacro %}{{ twice(year) }}": "19951995",
  "{% set ns = namespace(n=0) %}{% set ns.n = 2 %}{{ ns.n }}": "2",
  "no variables": "no variables",
};
for (const [template, text] of Object.entries(RENDERED)) {
  Deno.test(`compileTemplate() renders ${template}`, () => {
    assertEquals(compileTemplate(template)(record), text);
  });
}

const LACKING: Record<string, string> = {
  "{{ titel }}": "the record has no titel, which the template uses; ",
  "{{ title }} {{ genre | upper }}":
    'has no genre, which the template uses; add it, or write {{ genre | default("") }}',
  "{% if genre %}x{% endif %}": "has no genre",
  "{{ title.main }}": "has no title.main",
  "{{ cast[0].age }}": "has no cast.0.age",
  "{{ cast[7] }}": "has no cast.7",
  "{{ sequel }}": "has no sequel",
  "{{ 'x' ~ (genre is defined) ~ genre }}": "has no genre",
  "{{ title | nosuch }}":
    'the template fails with "Unknown StringValue filter: nosuch"; correct it',
  "{% if title is nosuch %}{% endif %}": "Unknown test: nosuch",
};
for (const [template, says] of Object.entries(LACKING)) {
  Deno.test(`compileTemplate() fails when it renders ${template}`, () => {
    const render = compileTemplate(template);
    assertStringIncludes(assertThrows(() => render(record), TemplateError).message, says);
  });
}

for (
  const template of ["{% if x %}", "{{ x", "{{ }}", "{% nosuch %}", "{{ x | }}", "{% endif %}"]
) {
  Deno.test(`compileTemplate() refuses ${template}`, () => {
    const { message } = assertThrows(() => compileTemplate(template), TemplateError);
    assertStringIncludes(message, `Cannot use the template ${JSON.stringify(template)}: `);
    assertEquals(message.includes("Cannot read properties"), false);
  });
}
