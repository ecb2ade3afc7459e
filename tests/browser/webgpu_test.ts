import { assertEquals } from "@std/assert";
import type { Page } from "puppeteer-core";
import deno from "../../deno.json" with { type: "json" };
import { browserTest, chromium, withPage } from "./browser.ts";
import { addressOf, runProgram, startProgram } from "./programs.ts";

const POLLED = { polling: 100, timeout: 120_000 }; // compiling every kernel in software takes a while

const PROMPT = "The movie was";
const TOKENS = 24;

/** What Deno generates; a program of its own, since this one has another configuration. */
const IN_DENO = `
import { Gpu, loadCausalLM } from "./mod.ts";
using gpu = await Gpu.open();
using model = await loadCausalLM(gpu, "weights/review-gpt2");
const { texts } = await model.generate(["${PROMPT}"], { maxNewTokens: ${TOKENS}, greedy: true });
console.log(JSON.stringify(texts[0]));
`;

const bundle = deno.tasks.browser.split(" && ")[0].split(" ").slice(1);
const bundled = chromium === undefined ? undefined : await runProgram(bundle);

/** The bundler is a package of its own, which deno fetches when it is first asked for. */
const lacks = chromium === undefined
  ? "no Chromium; install the package chromium"
  : bundled!.success
  ? undefined
  : `deno bundle failed: ${bundled!.stderr.trim().split("\n")[0]}`;

/** What the Hub answers in a test: half a file. */
const BROKEN = { status: 200, headers: { "access-control-allow-origin": "*" }, body: "{" };

const settled = (page: Page, pattern: RegExp) =>
  page.waitForFunction(
    (source) => new RegExp(source).test(document.querySelector("#status")!.textContent!),
    POLLED,
    pattern.source,
  );

const fill = (page: Page, selector: string, value: string) =>
  page.$eval(selector, (input, value) => (input as HTMLInputElement).value = value, value);

browserTest("a page continues a prompt on WebGPU as Deno does", async () => {
  const { child, lines } = startProgram("browser", []);
  const address = await addressOf(lines);
  const { stdout } = await runProgram(["run", "--no-prompt", "--allow-read", "-"], IN_DENO);
  try {
    await withPage(async (page) => {
      await page.goto(address);
      await settled(page, /ready$/);
      await fill(page, "#count", String(TOKENS));
      await fill(page, "#temperature", "0"); // greedy
      await page.click("#go");
      await settled(page, /tokens per second$/);
      const text = await page.$eval("#text", (one) => one.textContent);
      assertEquals(text, PROMPT + JSON.parse(stdout));

      await fill(page, "#prompt", "<img src=x onerror=alert(1)>");
      await page.click("#go");
      await settled(page, /tokens per second$/);
      assertEquals(await page.$$eval("img", (all) => all.length), 0);
    });
    const outside = await fetch(new URL("/weights/%2e%2e/deno.json", address));
    assertEquals(outside.status, 404);
    await outside.body?.cancel();
  } finally {
    child.kill("SIGTERM");
    await child.status;
    await lines.cancel();
  }
}, lacks);

browserTest("a page says what is wrong where it can have no model", async () => {
  const { child, lines } = startProgram("browser", []);
  const address = await addressOf(lines);
  try {
    await withPage(async (page) => {
      await page.setRequestInterception(true);
      page.on("request", (request) => {
        if (request.url().includes("huggingface.co")) void request.respond(BROKEN);
        else void request.continue();
      });
      await page.goto(`${address}?model=someone/else`);
      await settled(page, /^Cannot read .*someone\/else.*config\.json.*line 1/);
    });
  } finally {
    child.kill("SIGTERM");
    await child.status;
    await lines.cancel();
  }
}, lacks);
