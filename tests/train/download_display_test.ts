import { assertEquals } from "@std/assert";
import { downloadDisplay } from "../../train/download_display.ts";
import { testScreen } from "../helpers/screen.ts";

Deno.test("downloadDisplay() draws one bar over all files, and says in the end how long it took", () => {
  const { screen, written, clock } = testScreen({ isLive: true });
  const { onProgress } = downloadDisplay(screen);
  for (let part = 0; part <= 200; part++) {
    onProgress({ doneBytes: part * 5e5, totalBytes: 1e8 });
    clock.time += 50;
  }
  const [first, second, ...bars] = written.filter((text) => text.includes("["));
  assertEquals(
    first,
    "\r\x1b[Kdownload [                    ]   0 % of 100.0 MB | ETA -:--",
  );
  assertEquals(
    bars.find((bar) => bar.includes(" 50 %")),
    "\r\x1b[Kdownload [==========          ]  50 % of 100.0 MB | 10.0 MB/s | ETA 0:05",
  );
  assertEquals(second!.includes("  1 %"), true); // after 100 ms
  assertEquals(written.slice(-2), ["\r\x1b[K", "downloaded 100.0 MB in 0:10\n"]);
});

Deno.test("downloadDisplay() goes on below a remark, and leaves no bar where the remark is the last word", () => {
  const { screen, written } = testScreen({ isLive: true });
  const { onProgress, say } = downloadDisplay(screen);
  onProgress({ doneBytes: 1e6, totalBytes: 2e6 });
  say("gpt2 is now called openai-community/gpt2\x1b[2J");
  assertEquals(written.at(-1), "gpt2 is now called openai-community/gpt2\\x1b[2J\n");
  onProgress({ doneBytes: 1.5e6, totalBytes: 2e6 });
  assertEquals(written.at(-1)!.includes(" 75 % of 2.0 MB"), true);
});
