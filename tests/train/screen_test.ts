import { assert, assertEquals } from "@std/assert";
import { testScreen } from "../helpers/screen.ts";

const CLEAR = "\r\x1b[K";
const STEPS = { name: "training", unit: "steps", total: 4 } as const;

Deno.test("Screen keeps one bar below the lines, which it does not break", () => {
  const { screen, written, clock } = testScreen({ isLive: true });
  const bar = screen.begin(STEPS);
  clock.time = 1500;
  bar.update(1);
  screen.line("step 1/4");
  screen.remark("a remark");
  bar[Symbol.dispose]();
  screen.line("the end");
  const drawn = `${CLEAR}training [=====               ] 1/4 steps | 40.0 steps/min | ETA 0:05`;
  assertEquals(written, [
    `${CLEAR}training [                    ] 0/4 steps | ETA -:--`,
    drawn,
    ...[CLEAR, "step 1/4\n", drawn],
    ...[CLEAR, "a remark\n", drawn],
    ...[CLEAR, "the end\n"],
  ]);
});

Deno.test("Screen shows the newest of several works, and the others again after it", () => {
  const { screen, written } = testScreen({ isLive: true });
  using _outer = screen.begin(STEPS, 2);
  {
    using _inner = screen.begin({ name: "evaluation", unit: "responses", total: 10 });
    assert(written.at(-1)!.includes("evaluation"));
  }
  assert(written.at(-1)!.includes("training [==========          ] 2/4 steps"));
});

Deno.test("Screen draws no more than ten bars in a second, and none wider than the terminal", () => {
  const { screen, written, clock } = testScreen({ isLive: true, columns: 40 });
  using bar = screen.begin({ ...STEPS, total: 1000 });
  for (let done = 1; done <= 1000; done++) {
    clock.time = done;
    bar.update(done);
  }
  assertEquals(written.length, 11);
  for (const text of written) assert(text.length - CLEAR.length < 40, text);
});

Deno.test("Screen writes a line every half minute where there is no terminal, and nothing of what is short", () => {
  const { screen, written, clock } = testScreen();
  for (const ms of [1000, 20_000]) {
    const bar = screen.begin(STEPS);
    for (let step = 1; step <= 4; step++) {
      clock.time += ms;
      bar.update(step);
    }
    bar[Symbol.dispose]();
  }
  assertEquals(written, [
    "training 2/4 steps | 3.0 steps/min | ETA 0:40\n", // the end needs none
  ]);
});

Deno.test("Screen shows no work where it is to be quiet", () => {
  for (const isLive of [true, false]) {
    const { screen, written, clock } = testScreen({ isLive, isQuiet: true });
    using bar = screen.begin(STEPS);
    clock.time = 100_000;
    bar.update(1);
    screen.workRemark("done");
    assertEquals(written, []);
  }
});

Deno.test("Screen colours lines where it may", () => {
  const [plain, coloured] = [testScreen(), testScreen({ hasColour: true })];
  for (const { screen } of [plain, coloured]) screen.line("a title", "bold");
  assertEquals([...plain.written, ...coloured.written], ["a title\n", "\x1b[1ma title\x1b[22m\n"]);
});
