import { assertEquals } from "@std/assert";
import { parseHubName } from "../../weights/hub_name.ts";

Deno.test("parseHubName() reads an id, and a revision behind an @", () => {
  const cases: [string, string, string][] = [
    ["gpt2", "gpt2", "main"],
    ["openai-community/gpt2", "openai-community/gpt2", "main"],
    ["EleutherAI/gpt-neo-125M", "EleutherAI/gpt-neo-125M", "main"],
    [
      "gpt2@607a30d783dfa663caf39e06633721c8d4cfcd7e",
      "gpt2",
      "607a30d783dfa663caf39e06633721c8d4cfcd7e",
    ],
    ["a/b.c_d@refs/pr/12", "a/b.c_d", "refs/pr/12"],
    ["a@v1.0", "a", "v1.0"],
  ];
  for (const [name, id, revision] of cases) {
    assertEquals(parseHubName(name), { id, revision }, name);
  }
});

Deno.test("parseHubName() takes nothing for an id that leads elsewhere or that the Hub forbids", () => {
  const paths = ["", ".", "..", "./a", "../a", "/a", "a/", "a//b", "a/b/c", "a\\b", "C:\\a", "~/a"];
  const forbidden = ["a--b", "a..b", "-a", "a-", ".a", "a.git", "a b", "é", "x".repeat(97)];
  const revisions = [
    "a@",
    "a@..",
    "a@../b",
    "a@/b",
    "a@b/",
    "a@b/../../c",
    "a@b@c",
    "a@b c",
    "a@b?c",
  ];
  for (const name of [...paths, ...forbidden, ...revisions]) {
    assertEquals(parseHubName(name), undefined, name);
  }
});
