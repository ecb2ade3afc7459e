import { assertEquals } from "@std/assert";

const PROGRAM = new URL("../helpers/long_wait.ts", import.meta.url).pathname;

/** Runs the program that waits; signals are sent while it does, each after some milliseconds. */
async function wait(
  { gpuTimeout, rounds }: { gpuTimeout: number; rounds: number },
  signals: readonly [wait: number, signal: Deno.Signal][] = [],
): Promise<{ code: number; signal: string | null; stdout: string; stderr: string }> {
  const child = new Deno.Command(Deno.execPath(), {
    args: ["run", "--no-prompt", "--allow-read", PROGRAM, `${gpuTimeout}`, `${rounds}`],
    env: { NO_COLOR: "1" },
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const stderr = new Response(child.stderr).text();
  let stdout = "";
  let sent: Promise<void> | undefined;
  for await (const text of child.stdout.pipeThrough(new TextDecoderStream())) {
    stdout += text;
    sent ??= send(child, signals);
  }
  await sent;
  const { code, signal } = await child.status;
  return { code, signal, stdout, stderr: await stderr };
}

async function send(
  child: Deno.ChildProcess,
  signals: readonly [wait: number, signal: Deno.Signal][],
): Promise<void> {
  for (const [ms, signal] of signals) {
    await new Promise((resolve) => setTimeout(resolve, ms));
    child.kill(signal);
  }
}

/** Rounds of work that no GPU gets done within seconds. */
const ENDLESS = 10_000;

const STOPPING = "stopping after this step, with a checkpoint; once more to leave at once\n";

Deno.test("a GPU that does not answer ends the program, and the kernels are named", async () => {
  const { signal, stdout, stderr } = await wait({ gpuTimeout: 1, rounds: ENDLESS });
  assertEquals([signal, stdout], ["SIGKILL", "waiting\n"]);
  assertEquals(
    stderr,
    `error: The GPU has not answered for 1 s; it was given hang (${ENDLESS} x spin); take a rest\n`,
  );
});

Deno.test("a wait within the time does nothing, and one signal asks to stop", async () => {
  const { code, stdout, stderr } = await wait({ gpuTimeout: 600, rounds: 1 }, [[100, "SIGTERM"]]);
  assertEquals([code, stdout], [0, "waiting\ndone, stopped with 143\n"]);
  assertEquals(stderr, `SIGTERM: ${STOPPING}`);
});

Deno.test("a second signal ends the program in the midst of a wait", async () => {
  const signals: [number, Deno.Signal][] = [[100, "SIGINT"], [100, "SIGINT"], [1000, "SIGINT"]];
  const { signal, stdout, stderr } = await wait({ gpuTimeout: 0, rounds: ENDLESS }, signals);
  assertEquals([signal, stdout], ["SIGINT", "waiting\n"]);
  assertEquals(stderr, `SIGINT: ${STOPPING}`); // the second came too soon to be another
});
