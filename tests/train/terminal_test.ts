/** Programs as people see them: on a terminal of their own. */

import { assert, assertEquals, assertMatch, assertStringIncludes } from "@std/assert";
import { withFolder } from "../helpers/folder.ts";
import { GPT2 } from "../helpers/goldens.ts";
import { hasTerminals, runOnTerminal, screenOf } from "../helpers/terminal.ts";

const HAS_TERMINALS = await hasTerminals();
if (!HAS_TERMINALS) console.log("tests on terminals are skipped: there is no script of util-linux");
const options = { ignore: !HAS_TERMINALS };

const RUN = [
  ["--model", GPT2, "--reward", "heuristic", "--steps", "3", "--sample-every", "3"],
  ["--batch-size", "4", "--mini-batch-size", "4", "--epochs", "1", "--max-new-tokens", "12"],
  ["--eval-responses", "50"], // more than fit one batch of the evaluation
].flat();

Deno.test(
  "train draws bars below its lines, leaves none, and fits 80 columns",
  options,
  () =>
    withFolder(async (folder) => {
      const outcome = await runOnTerminal("train", [...RUN, "--out", `${folder}/a`], {
        columns: 80,
      });
      const { code, sent, rows } = outcome;
      assertEquals(code, 0, sent);
      // What was drawn, and drawn over again.
      for (
        const bar of [/\revaluation \[ +\] /, /\revaluation \[=/, /\rtraining \[ +\] 0\/3 steps/]
      ) {
        assertMatch(sent.replaceAll("\x1b[K", ""), bar);
      }
      assertMatch(sent, /training \[=+ *\] [12]\/3 steps \| \S+ steps\/(s|min) \| ETA \d+:\d\d/);
      assertStringIncludes(sent, "\x1b[1mpolicy "); // bold

      const text = rows.join("\n");
      assert(!/evaluation \[|training \[|ETA/.test(text), text);
      const at = rows.findIndex((row) => row.startsWith("step/3"));
      assertEquals(rows[at]!.trim().split(/\s+/), [
        ...["step/3", "reward", "kl", "beta", "entropy", "loss", "tok/s", "ms"],
      ]);
      for (const step of [1, 2, 3]) {
        assertEquals(rows[at + step]!.length, rows[at]!.length);
        assertMatch(rows[at + step]!, new RegExp(`^ +${step}( +-?[\\d.]+){7}$`));
      }
      assertMatch(rows[at + 4]!, /^ {4}prompt +response +reward$/);
      assertMatch(text, /^mean reward +\S+ +\S+$/m);
      assertMatch(text, /^run folder /m);
    }),
);

Deno.test(
  "an error has its colour on a terminal, unless the environment asks for none",
  options,
  async () => {
    const args = ["--model", "/none/here"];
    const env: Record<string, string>[] = [{}, { NO_COLOR: "1" }, { TERM: "dumb" }, { CI: "true" }];
    const outcomes = await Promise.all(
      env.map((env) => runOnTerminal("train", args, { columns: 120, env })),
    );
    assertEquals(outcomes.map(({ code }) => code), [1, 1, 1, 1]);
    const [coloured, ...plain] = outcomes;
    assert(
      coloured!.sent.startsWith("\r\x1b[K\x1b[31merror:\x1b[39m Cannot open the model folder"),
    );
    for (const { sent, rows } of plain) {
      assert(!sent.includes("\x1b"), sent);
      assertEquals(rows, coloured!.rows);
    }
  },
);

Deno.test("screenOf() shows what a terminal shows", () => {
  assertEquals(screenOf("ab\r\n\x1b[1mcd\x1b[22m\r\x1b[Ke\r\n12345", 3), ["ab", "e", "123", "45"]);
});
