import { assertEquals } from "@std/assert";
import { downloadDisplay } from "../../train/download_display.ts";

/** What is written while 100 MB arrive at 1 MB in 100 ms. */
function written(isTerminal: boolean): string[] {
  const lines: string[] = [];
  let time = 0;
  const display = downloadDisplay({
    write: (text) => lines.push(text),
    isTerminal,
    now: () => time,
  });
  for (let part = 0; part <= 200; part++) {
    display.onProgress({ doneBytes: part * 5e5, totalBytes: 1e8 });
    time += 50;
  }
  return lines;
}

Deno.test("downloadDisplay() draws one bar over itself on a terminal", () => {
  const lines = written(true);
  assertEquals(lines.length, 101);
  assertEquals(
    lines[0],
    "\r\x1b[Kdownload [                    ]   0 % of 100.0 MB | 0.0 MB/s | ETA -:--",
  );
  assertEquals(
    lines[50],
    "\r\x1b[Kdownload [==========          ]  50 % of 100.0 MB | 10.0 MB/s | ETA 0:05",
  );
  assertEquals(
    lines.at(-1),
    "\r\x1b[Kdownload [====================] 100 % of 100.0 MB | 10.0 MB/s | ETA 0:00\n",
  );
});

Deno.test("downloadDisplay() writes a line now and then elsewhere", () => {
  assertEquals(written(false), [
    "download   0 % of 100.0 MB | 0.0 MB/s | ETA -:--\n",
    "download 100 % of 100.0 MB | 10.0 MB/s | ETA 0:00\n",
  ]);
});

Deno.test("downloadDisplay() puts remarks on lines of their own, and takes the rate of the last seconds", () => {
  const lines: string[] = [];
  let time = 0;
  const { onProgress, say } = downloadDisplay({
    write: (text) => lines.push(text),
    isTerminal: true,
    now: () => time,
  });
  const at = (seconds: number, doneBytes: number) => {
    time = 1000 * seconds;
    onProgress({ doneBytes, totalBytes: 1e9 });
  };
  at(0, 5e8); // from an earlier attempt
  for (let second = 1; second <= 5; second++) at(second, 5e8 + second * 1e7);
  for (let second = 6; second <= 16; second++) at(second, 55e7 + (second - 5) * 1e6);
  assertEquals(lines.at(-1)!.split("|")[1], " 1.0 MB/s ");
  say("gpt2 is now called openai-community/gpt2");
  assertEquals(lines.at(-1), "\r\x1b[Kgpt2 is now called openai-community/gpt2\n");
});
