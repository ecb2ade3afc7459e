import { assert, assertEquals, assertMatch } from "@std/assert";
import type { Page } from "puppeteer-core";
import { browserTest, drawnPixels, withPage } from "./browser.ts";
import { addressOf, startProgram } from "./programs.ts";

const POLLED = { polling: 100, timeout: 60_000 };

const statusMatches = (page: Page, pattern: RegExp) =>
  page.waitForFunction(
    (source) => new RegExp(source).test(document.querySelector("#status")!.textContent!),
    POLLED,
    pattern.source,
  );

const press = (page: Page, action: string) => page.click(`button[data-do="${action}"]`);

async function enter(page: Page, action: string, text: string): Promise<void> {
  const input = await page.waitForSelector(`form[data-do="${action}"] input`);
  await input!.focus(); // from here on the page leaves what is in it alone
  await input!.evaluate((one) => (one as HTMLInputElement).select());
  await page.keyboard.type(text);
  await input!.press("Enter");
}

browserTest("a training run is shown and steered: every control works", async () => {
  const folder = await Deno.makeTempDir({ prefix: "kl-guard-" });
  const args = "--dashboard --steps 2000 --batch-size 4 --mini-batch-size 4 --max-new-tokens 6 " +
    `--eval-responses 0 --save-every 0 --sample-every 0 --reward heuristic --out ${folder}/run`;
  const { child, lines } = startProgram("train", args.split(" "));
  const address = await addressOf(lines);
  assertMatch(address, /#[\w-]{20,}$/);
  await withPage(async (page) => {
    await page.goto(address);
    assertEquals(new URL(page.url()).hash, "", "the token stays in the address bar");
    await statusMatches(page, /running, step (?!0|1 )\d+ of 2000/);
    await page.waitForFunction(() => document.querySelectorAll("canvas").length > 8, POLLED);
    assert((await drawnPixels(page)).every((count) => count > 500));

    const names = await page.$$eval(
      "#steer button",
      (all) => all.map((one) => one.ariaLabel ?? one.textContent),
    );
    assertEquals(new Set(names).size, names.length, `alike to a screen reader: ${names}`);
    assert(
      await page.$$eval("#steer input", (all) => all.every((one) => one.labels!.length === 1)),
    );

    await press(page, "pause");
    await statusMatches(page, /^paused/);
    const paused = await page.$eval("#status", (one) => one.textContent);
    await enter(page, "set-beta", "0.75");
    await enter(page, "set-target", "0.125");
    await enter(page, "set-learning-rate", "0.00003");
    await enter(page, "complete", "The movie was");
    await page.waitForFunction(
      () => document.querySelector("#answers")!.children.length === 1,
      POLLED,
    );
    const answer = await page.$eval("#answers", (one) => one.textContent);
    assertMatch(answer!, /policy after step \d+: The movie was.*reference: The movie was/s);
    await press(page, "save");
    await page.waitForFunction(
      () => /saved in/.test(document.querySelector("#status")!.textContent!),
      POLLED,
    );
    assertEquals(
      (await page.$eval("#status", (one) => one.textContent))!.split(",")[1],
      paused!.split(",")[1],
    );

    await press(page, "resume");
    await statusMatches(page, /^running/);
    await press(page, "stop");
    await statusMatches(page, /^finished/);
    assertEquals(await page.$eval("#problem", (one) => one.textContent), "");
  });
  for await (const _ of lines);
  assertEquals((await child.status).code, 0);

  const metrics = (await Deno.readTextFile(`${folder}/run/metrics.jsonl`)).trim().split("\n");
  assert(metrics.length < 2000, "it was stopped");
  const last = JSON.parse(metrics.at(-1)!);
  assertEquals(last["ppo/learning_rate"], 3e-5);
  const betas = metrics.map((line) => JSON.parse(line)["objective/kl_coef"]);
  assert(betas.includes(0.75), `beta was never 0.75: ${betas}`);
  const latest = (await Deno.readTextFile(`${folder}/run/latest`)).trim();
  const state = JSON.parse(await Deno.readTextFile(`${folder}/run/${latest}/trainer_state.json`));
  assertEquals(state.callbacks.steering, { klTarget: 0.125, learningRate: 3e-5 });
  await Deno.remove(folder, { recursive: true });
});

browserTest("a page without the token sees the run and cannot steer it", async () => {
  const folder = await Deno.makeTempDir({ prefix: "kl-guard-" });
  const args = "--dashboard --steps 2000 --batch-size 2 --mini-batch-size 2 --max-new-tokens 4 " +
    `--eval-responses 0 --save-every 0 --sample-every 0 --reward heuristic --out ${folder}/run`;
  const { child, lines } = startProgram("train", args.split(" "));
  const { origin } = new URL(await addressOf(lines));
  await withPage(async (page) => {
    await page.goto(origin);
    await statusMatches(page, /running, step \d+ of 2000/);
    const enabled = await page.$$eval("#steer :is(button, input):enabled", (all) => all.length);
    assertEquals(enabled, 0);
  });
  child.kill("SIGTERM");
  for await (const _ of lines);
  assertEquals((await child.status).code, 143);
  await Deno.remove(folder, { recursive: true });
});
