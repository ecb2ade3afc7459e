/** A real browser for tests: Debian's Chromium, without a window. */

import puppeteer, { type Browser, type Page } from "puppeteer-core";

/** Where distributions put it. */
const PATHS = [
  "/usr/bin/chromium",
  "/usr/bin/chromium-browser",
  "/usr/bin/google-chrome",
];

/** The browser's program; undefined where there is none. */
export const chromium: string | undefined = PATHS.find((path) => {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
});

/**
 * A test that needs a browser; where there is none it is skipped, and its name says why.
 *
 * @param lacks What else is missing, and what to do about it.
 */
export function browserTest(
  name: string,
  fn: () => Promise<void>,
  lacks = chromium === undefined ? "no Chromium; install the package chromium" : undefined,
): void {
  const ignore = lacks !== undefined;
  Deno.test({ name: ignore ? `${name} (skipped: ${lacks})` : name, ignore, fn });
}

const FLAGS = [
  "--no-sandbox", // a container's root has no other way
  "--disable-quic",
  "--disable-background-networking",
  "--disable-component-update",
  "--disable-sync",
  "--enable-unsafe-webgpu",
];

/** Runs `use` with a fresh page, and fails where the page threw, logged an error, or broke its own policy. */
export async function withPage(
  use: (page: Page, browser: Browser) => Promise<void>,
): Promise<void> {
  const browser = await puppeteer.launch({
    executablePath: chromium!,
    args: FLAGS,
  });
  try {
    const page = await browser.newPage();
    const errors: string[] = [];
    page.on("pageerror", (error) => void errors.push(String(error)));
    page.on("console", (message) => {
      if (message.type() === "error") errors.push(message.text());
    });
    await use(page, browser);
    if (errors.length > 0) {
      throw new Error(`the page reported: ${errors.join("; ")}`);
    }
  } finally {
    await browser.close();
  }
}

/** How many pixels of every canvas are not blank; a chart that was drawn has many. */
export function drawnPixels(page: Page): Promise<number[]> {
  return page.evaluate(() =>
    [...document.querySelectorAll("canvas")].map((canvas) => {
      const { data } = canvas.getContext("2d")!.getImageData(
        0,
        0,
        canvas.width,
        canvas.height,
      );
      return data.filter((value, i) => i % 4 === 3 && value > 0).length;
    })
  );
}
