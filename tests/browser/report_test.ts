import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { browserTest, drawnPixels, withPage } from "./browser.ts";
import { addressOf, startProgram } from "./programs.ts";

/** By the clock: a page in the background has no animation frames. */
const POLLED = { polling: 100 };

const HOSTILE = `<img src=x onerror="document.title='broken into'">`;

/** A run folder as training leaves it, with a text that tries to become a script. */
async function makeRun(): Promise<string> {
  const folder = await Deno.makeTempDir({ prefix: "kl-guard-" });
  const write = (name: string, text: string) => Deno.writeTextFile(`${folder}/${name}`, text);
  await write(
    "config.json",
    JSON.stringify({
      steps: 8,
      klTarget: 0.05,
      klCoef: 0.4,
      learningRate: 1e-4,
    }),
  );
  const rows = Array.from({ length: 8 }, (_, i) => ({
    "step": i + 1,
    "ppo/mean_scores": Math.sin(i),
    "rewards/length/mean": i / 8,
    "rewards/sentiment/truncated/mean": 0,
    "objective/kl_full": 0.01 * i,
    "objective/kl_coef": 0.4,
    ...(i > 3 && { "objective/kl_target": 0.1 }), // steered on the way
    "ppo/policy/entropy": 4 - i / 10,
  }));
  await write(
    "metrics.jsonl",
    rows.map((row) => JSON.stringify(row) + "\n").join(""),
  );
  const sample = {
    step: 8,
    prompt: HOSTILE,
    response: HOSTILE,
    score: 1,
    kl: 0.1,
  };
  const tokens = [{ text: HOSTILE, kl: 0.5, advantage: 1 }];
  await write("samples.jsonl", JSON.stringify({ ...sample, tokens }) + "\n");
  return folder;
}

browserTest(
  "the report draws its curves, without a network, and no text becomes a script",
  async () => {
    const folder = await makeRun();
    const { child, lines } = startProgram("report", [folder]);
    for await (const _ of lines);
    assertEquals((await child.status).code, 0);
    await withPage(async (page) => {
      await page.setOfflineMode(true);
      await page.goto(`file://${folder}/report.html`);
      const figures = await page.$$eval(
        "figure:not([hidden]) figcaption",
        (all) => all.map((one) => one.textContent),
      );
      assertEquals(figures.length, 3, figures.join());
      const pixels = await drawnPixels(page);
      assertEquals(pixels.length, 3);
      assert(pixels.every((count) => count > 500), pixels.join());
      const legend = await page.$eval(".u-legend", (one) => one.textContent);
      assertStringIncludes(legend ?? "", "length"); // a part of the reward
      assert(!legend!.includes("truncated"), "a share of texts among scores");
      const band = await page.$$eval("[role=img]", (all) => all[1].getAttribute("aria-label"));
      assertStringIncludes(band ?? "", "target 0.1, target × 1.5 0.15");
      assert(
        await page.$$eval(".scroll", (all) => all.every((one) => one.matches("[tabindex='0']"))),
      );
      assertStringIncludes(await page.title(), "KL Guard");
      assertEquals(await page.$$eval("img", (all) => all.length), 0);
    });
    await Deno.remove(folder, { recursive: true });
  },
);

browserTest(
  "the live page of a folder shows what comes, to every viewer",
  async () => {
    const folder = await makeRun();
    const { child, lines } = startProgram("dashboard", [folder]);
    const address = await addressOf(lines);
    await withPage(async (page, browser) => {
      const other = await browser.newPage();
      for (const viewer of [page, other]) {
        await viewer.goto(address);
        await viewer.waitForFunction(
          () => document.querySelectorAll("canvas").length === 3,
          POLLED,
        );
        const status = await viewer.$eval("#status", (one) => one.textContent);
        assertStringIncludes(status ?? "", "step 8 of 8");
      }
      assertStringIncludes(
        await page.$eval("#samples", (one) => one.textContent) ?? "",
        HOSTILE,
      );
      assert(
        await page.$eval("#steer", (one) => (one as HTMLElement).hidden),
        "a folder cannot be steered",
      );

      const row = JSON.stringify({
        "step": 9,
        "ppo/mean_scores": 3,
        "ppo/grad_norm": 1,
      });
      await Deno.writeTextFile(`${folder}/metrics.jsonl`, row + "\n", {
        append: true,
      });
      await page.waitForFunction(() => document.querySelectorAll("canvas").length === 4, POLLED);
      await other.bringToFront();
      await other.waitForFunction(() => document.querySelectorAll("canvas").length === 4, POLLED);
    });
    child.kill("SIGTERM");
    await child.status;
    await lines.cancel();
    await Deno.remove(folder, { recursive: true });
  },
);
