/**
 * Training runs killed (SIGKILL) at random moments and resumed, over and over: does each end bit-equal to one that was not?
 *
 *     deno run --allow-read --allow-write --allow-env --allow-run tests/bench/kill_runs.ts [kills, 50 by default] [seed]
 *
 * Kills fall anywhere between the start of the process and its end, in training as in the writing of a checkpoint, of
 * which there is one after every step. Ends with status 1 at the first difference, and leaves the folders.
 */
import { strictEqual } from "node:assert";
import { Rng } from "../../train/rng.ts";
import { QUICK_RUN, recordOf, trainKilled, trainToEnd } from "../helpers/runs.ts";

const [wanted = 50, seed = 0] = Deno.args.map(Number);
const rng = new Rng(seed, "kills");
const args = [...QUICK_RUN, "--steps", "12", "--save-every", "1", "--keep", "2"];
const folder = await Deno.makeTempDir({ prefix: "kl-guard-kills-" });
console.log(`runs in ${folder}`);

await trainToEnd([...args, "--out", `${folder}/whole`]);
const whole = JSON.stringify(await readable(`${folder}/whole`));
let started = performance.now();
await trainToEnd([...args, "--out", `${folder}/timed`]);
let ms = performance.now() - started; // the first run also compiled the kernels
console.log(`a run that is not killed takes ${(ms / 1000).toFixed(1)} s`);

let kills = 0;
for (let run = 1; kills < wanted; run++) {
  const path = `${folder}/killed-${run}`;
  started = performance.now();
  let range = ms; // grows, so that a machine that has become busier gets on all the same
  const delay = () => rng.next() * (range *= 1.1);
  const killed = await trainKilled(path, { args, kills: wanted - kills, delay });
  if (killed === 0) ms = performance.now() - started;
  kills += killed;
  strictEqual(JSON.stringify(await readable(path)), whole, `${path} differs from ${folder}/whole`);
  console.log(`run ${run}: killed ${killed} times, bit-equal; ${kills} kills in all`);
  await Deno.remove(path, { recursive: true });
}
await Deno.remove(folder, { recursive: true });

/** The record of a run with its bytes as hashes. */
async function readable(run: string): Promise<unknown> {
  const { policy, moments, ...lines } = await recordOf(run);
  const hashes = await Promise.all(
    [policy, moments].map((bytes) =>
      crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>)
    ),
  );
  return { ...lines, hashes: hashes.map((hash) => new Uint8Array(hash).toHex()) };
}
