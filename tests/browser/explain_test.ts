import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { browserTest, withPage } from "./browser.ts";
import { startProgram } from "./programs.ts";

const HOSTILE = `<img src=x onerror="document.title='broken into'">`;

/** The W3C's contrast ratio of two CSS colours "rgb(r, g, b)": 21 for black on white. */
function contrast(a: string, b: string): number {
  const luminance = (colour: string) => {
    const [red, green, blue] = colour.match(/[\d.]+/g)!.map((part) => {
      const x = Number(part) / 255;
      return x <= 0.04045 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
}

browserTest(
  "the page of an explained step is readable in both themes, on a phone, by keyboard",
  async () => {
    const folder = await Deno.makeTempDir({ prefix: "kl-guard-" });
    const file = `${folder}/step.html`;
    const flags = ["--reward", "heuristic", "--after", "1", "--html", file];
    const prompts = ["--prompt", `The movie ${HOSTILE}`, "--prompt", "This is"];
    const { child, lines } = startProgram("explain", [...flags, ...prompts]);
    for await (const _ of lines);
    assertEquals((await child.status).code, 0);

    await withPage(async (page) => {
      await page.setOfflineMode(true);
      await page.setViewport({ width: 390, height: 800 });
      await page.goto(`file://${file}`);
      assertEquals(await page.title(), "KL Guard: One PPO step, explained");
      assertEquals(await page.$$eval("img, script", (all) => all.length), 0);
      const text = await page.$eval("main", (main) => main.textContent ?? "");
      assertStringIncludes(text, "onerror"); // the prompt, told as text

      // No part is wider than a phone: only regions of tables scroll, and the keyboard reaches each.
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - 390);
      assert(overflow <= 0, `the page is ${overflow} px too wide`);
      const alignment = await page.$eval("td.number", (one) => getComputedStyle(one).textAlign);
      assertEquals(alignment, "right");
      const reachable = await page.$$eval(
        ".scroll",
        (all) => all.every((one) => one.matches("[tabindex='0'][role=region][aria-label]")),
      );
      assert(reachable);
      await page.keyboard.press("Tab");
      await page.keyboard.press("Enter");
      assertEquals(new URL(page.url()).hash, "#part-1");

      for (const value of ["light", "dark"]) {
        await page.emulateMediaFeatures([{ name: "prefers-color-scheme", value }]);
        const colours = await page.$eval("body", (body) => {
          const { color, backgroundColor } = getComputedStyle(body);
          return [color, backgroundColor];
        });
        assert(contrast(colours[0], colours[1]) > 7, `${value}: ${colours}`);
        const marked = await page.$$eval(
          "td[class*=high], td[class*=low]",
          (cells) =>
            cells.map((cell) => ({
              text: cell.textContent,
              paint: getComputedStyle(cell).backgroundColor,
            })),
        );
        assert(marked.length > 20, "cells are coloured");
        for (const { text, paint } of marked) {
          assert(/\d/.test(text ?? ""), "a colour stands without its number");
          assert(paint !== "rgba(0, 0, 0, 0)", "a class has no colour");
        }
      }
    });
    await Deno.remove(folder, { recursive: true });
  },
);
