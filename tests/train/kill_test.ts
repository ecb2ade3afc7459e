import { assert, assertEquals, assertMatch } from "@std/assert";
import { Rng } from "../../train/rng.ts";
import { withFolder } from "../helpers/folder.ts";
import { QUICK_RUN, recordOf, startTraining, trainKilled, trainToEnd } from "../helpers/runs.ts";

const ARGS = [...QUICK_RUN, "--steps", "6", "--save-every", "1", "--keep", "2"];

/** Lets a run get to the line of `step`, then sends a signal; `wait` more milliseconds, and another. */
async function signalAt(
  step: number,
  args: readonly string[],
  signals: readonly [Deno.Signal, wait?: number][],
): Promise<{ code: number; text: string }> {
  const child = startTraining(args);
  let text = "";
  let sent: Promise<void> | undefined;
  const send = async () => {
    for (const [signal, wait = 0] of signals) {
      await new Promise((resolve) => setTimeout(resolve, wait));
      try {
        child.kill(signal);
      } catch (error) {
        if (!(error instanceof TypeError)) throw error; // it had ended already
      }
    }
  };
  const errors = child.stderr.pipeThrough(new TextDecoderStream());
  const read = (async () => {
    for await (const part of errors) text += part;
  })();
  for await (const part of child.stdout.pipeThrough(new TextDecoderStream())) {
    text += part;
    if (part.includes(`step ${step}/`)) sent ??= send();
  }
  await read;
  const { code } = await child.status;
  await sent;
  return { code, text };
}

Deno.test("a run that is killed and stopped at any moment ends as the one that was not", (t) =>
  withFolder(async (folder) => {
    await trainToEnd([...ARGS, "--out", `${folder}/whole`]);
    const whole = await recordOf(`${folder}/whole`);
    const checkEnd = async (run: string) => assertEquals(await recordOf(run), whole);

    await t.step("kill -9, three times at random", async () => {
      const rng = new Rng(Date.now());
      const run = `${folder}/killed`;
      await trainKilled(run, { args: ARGS, kills: 3, delay: () => 500 + 4000 * rng.next() });
      await checkEnd(run);
      const left = Array.from(Deno.readDirSync(`${run}/checkpoints`), ({ name }) => name);
      assertEquals(left.filter((name) => name.startsWith(".")), []);
    });

    for (const [signal, status] of [["SIGINT", 130], ["SIGTERM", 143]] as const) {
      await t.step(`${signal} ends the step, saves, and exits with ${status}`, async () => {
        const run = `${folder}/${signal}`;
        const { code, text } = await signalAt(1, [...ARGS, "--out", run], [[signal]]);
        assertEquals(code, status);
        assertMatch(text, new RegExp(`${signal}: stopping after this step`));
        const [, step] = text.match(/stopped after step (\d); to go on: --resume /)!;
        assert(Number(step) >= 1 && Number(step) <= 6);
        const latest = await Deno.readTextFile(`${run}/latest`);
        assertEquals(latest, `checkpoints/step-00000${step}\n`);
        await trainToEnd(["--resume", run]);
        await checkEnd(run);
      });
    }

    await t.step("a run that has come to its end stays as it is", async () => {
      const run = `${folder}/whole`;
      const before = await Deno.readTextFile(`${run}/metrics.jsonl`);
      await trainToEnd(["--resume", run]);
      assertEquals(await Deno.readTextFile(`${run}/metrics.jsonl`), before);
      await checkEnd(run);
    });
  }));
