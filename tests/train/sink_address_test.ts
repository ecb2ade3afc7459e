import { assertEquals } from "@std/assert";
import { isSpace, trackioUrl } from "../../train/sink_address.ts";

Deno.test("a Space has a host of its own, and is the only server that the Hub's token is for", () => {
  const cases: [server: string, url: string, space: boolean][] = [
    ["me/My_runs.v2", "https://me-my-runs-v2.hf.space", true],
    ["https://me-runs.hf.space/", "https://me-runs.hf.space/", true],
    ["http://127.0.0.1:7860", "http://127.0.0.1:7860", false],
    ["https://evil.example/x.hf.space", "https://evil.example/x.hf.space", false],
    ["https://hf.space.evil.example", "https://hf.space.evil.example", false],
  ];
  for (const [server, url, space] of cases) {
    assertEquals([trackioUrl(server), isSpace(server)], [url, space], server);
  }
});
