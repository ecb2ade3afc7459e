import { assertEquals, assertMatch } from "@std/assert";

const ROOT = new URL("../", import.meta.url);

/** What one step of every example prints. */
const EXAMPLES: Record<string, RegExp> = {
  "callback.ts": /^starting step 1\n(high reward: done\n)?trained for 1 steps\n$/,
  "custom_configuration.ts":
    /^Cannot use klTarget -1 .*: it must be a number above 0\nstep 1\/1 .* beta 0\.500 /,
  "custom_loop.ts":
    /^epoch 1, step 1: .*\nepoch 1, step 2: .*\nKL values: 0\.\d+, -?0\.\d+; beta is/,
  "custom_reward.ts": /^step 1\/1 .*\n(\d\.00 {2}".*"\n){2}mean score \d\.\d+\n$/,
  "fine_tuned_start.ts":
    /^sft step 1: loss \d+\.\d+ nats\/token\nstep 1\/1 .*\nfine-tuned model in /,
  "multi_objective.ts":
    /^step 1: -?\d\.\d+ = weighted sentiment -?\d\.\d+, length \d\.\d+, diversity -?\d\.\d+\n$/,
  "separate_calls.ts": /^step 1: KL -?0\.\d+ nats\/token, largest ratio \d/,
};

Deno.test("every example has a test", () => {
  const names = [...Deno.readDirSync(new URL("examples", ROOT))]
    .filter(({ isFile }) => isFile) // the page in examples/browser is tested in tests/browser
    .map(({ name }) => name);
  assertEquals(names.sort(), Object.keys(EXAMPLES));
});

for (const [name, prints] of Object.entries(EXAMPLES)) {
  Deno.test(`examples/${name} runs as its head says`, async () => {
    const text = await Deno.readTextFile(new URL(`examples/${name}`, ROOT));
    const [, permissions = ""] = text.match(/^ \* {5}deno run (.*) examples\//m)!;
    const { success, stdout, stderr } = await new Deno.Command(Deno.execPath(), {
      args: ["run", "--no-prompt", ...permissions.split(" "), `examples/${name}`, "1"],
      cwd: ROOT,
      env: { NO_COLOR: "1" },
      stdin: "null",
    }).output();
    const printed = new TextDecoder().decode(stdout);
    assertMatch(printed, prints, new TextDecoder().decode(stderr));
    const [, folder] = printed.match(/^fine-tuned model in (.*)$/m) ?? [];
    if (folder) await Deno.remove(folder, { recursive: true });
    assertEquals(success, true);
  });
}
