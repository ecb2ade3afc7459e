import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { explainPage } from "../../train/explain_page.ts";
import type { ExplainedSection } from "../../train/explain_tensors.ts";
import { escapeHtml, sourceHash } from "../../train/html.ts";

const HOSTILE = `</td></style><script>document.title='broken'</script><img src=x onerror="x()">&`;

const section: ExplainedSection = {
  title: "How far",
  formulas: [{ formula: "a < b", source: "someone" }],
  code: "f() in train/f.ts",
  tensors: [
    {
      name: "ids",
      shape: "(B, R) = (2, 2)",
      doc: "names of tokens",
      across: "tokens",
      of: "response",
      rows: [[7, 8], [9]],
      columns: [[" a", HOSTILE], ["\n"]],
    },
    {
      name: "ratio",
      shape: "(B, R) = (2, 2)",
      doc: "new to old",
      across: "tokens",
      of: "response",
      neutral: 1,
      rows: [[1, 3], [0.2]],
      columns: [[" a", HOSTILE], ["\n"]],
    },
    {
      name: "change",
      shape: "1 part",
      doc: "of parameters",
      across: "figures",
      of: "part",
      labels: ["h.0"],
      rows: [[12, 0.5]],
      columns: [["count", "norm"]],
    },
  ],
  notes: [HOSTILE],
};

const page = await explainPage([section, { ...section, title: "And back" }], ["model x", HOSTILE]);

/** Rows of the first table whose caption is this, as texts of cells with their classes. */
function rowsOf(caption: string): string[][] {
  const [, body] = page.match(
    new RegExp(`<caption>${caption}</caption>.*?<tbody>(.*?)</tbody>`, "s"),
  )!;
  return body.split("\n").map((row) =>
    [...row.matchAll(/<t[hd](?: scope="row")?(?: class="([^"]*)")?>(.*?)<\/t[hd]>/g)]
      .map(([, kind = "", text]) => `${kind}: ${text}`)
  );
}

Deno.test("explainPage() has a table for each response, a row for each token, a column for each tensor", () => {
  assertEquals(rowsOf("response 0"), [
    ["token: <bdi>·a</bdi>", "number: 7", "number: 1"],
    // 3 is as far from 1 as any ratio here: the strongest blue. Ids have no colour.
    [
      `token: <bdi>${escapeHtml(HOSTILE.replaceAll('"', '\\"'))}</bdi>`,
      "number: 8",
      "number high5: 3",
    ],
  ]);
  assertEquals(rowsOf("response 1"), [
    ["token: <bdi>\\n</bdi>", "number: 9", "number low2: 0.2000"],
  ]);
  assertEquals(rowsOf("change"), [[": h.0", "number: 12", "number: 0.5000"]]);
});

Deno.test("explainPage() numbers its parts and links to them", () => {
  for (const [i, title] of ["How far", "And back"].entries()) {
    assertStringIncludes(page, `<a href="#part-${i + 1}">${title}</a>`);
    assertStringIncludes(
      page,
      `<section id="part-${i + 1}" aria-labelledby="part-${i + 1}-title">`,
    );
    assertStringIncludes(page, `<h2 id="part-${i + 1}-title">${i + 1}. ${title}</h2>`);
  }
  assertStringIncludes(page, "<code>a &lt; b</code>");
});

Deno.test("explainPage() shows strangers' text as text, and runs no script at all", async () => {
  assert(!page.includes("<script") && !page.includes("<img"), "an element came from a text");
  const policy = page.match(/Content-Security-Policy" content="([^"]*)"/)![1];
  const styles = [...page.matchAll(/<style>(.*?)<\/style>/gs)].map(([, source]) => source);
  assertEquals(
    policy,
    `default-src 'none'; style-src ${await sourceHash(
      styles[0],
    )}; base-uri 'none'; form-action 'none'`,
  );
  assertEquals(styles.length, 1);
  const attributes = [...page.matchAll(/<\w+((?: [\w-]+(?:="[^"]*")?)*)>/g)]
    .flatMap(([, list]) => [...list.matchAll(/ ([\w-]+)(?==)/g)].map(([, name]) => name));
  const loads = attributes.filter((name) => ["src", "style", "srcset"].includes(name));
  assertEquals(loads, []);
  assert(attributes.length > 50, "the attributes were not found");
});
