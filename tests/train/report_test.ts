import { assert, assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { join } from "node:path";
import { embeddedJson, escapeHtml, sourceHash } from "../../train/html.ts";
import { reportPage } from "../../train/report_page.ts";
import { RunFolderError } from "../../train/run_folder.ts";
import { readRun } from "../../train/run_reader.ts";
import { withFolder } from "../helpers/folder.ts";

const HOSTILE = `</script><img src=x onerror="alert('1')">&`;

async function writeRun(path: string, files: Record<string, string>): Promise<void> {
  await Deno.mkdir(path, { recursive: true });
  for (const [name, text] of Object.entries(files)) {
    await Deno.writeTextFile(join(path, name), text);
  }
}

const RUN = {
  "config.json": JSON.stringify({ steps: 2, klTarget: 0.05, model: HOSTILE }),
  "metrics.jsonl":
    '{"step":1,"ppo/mean_scores":0.5}\n{"step":2,"ppo/mean_scores":0.75}\n{"step":3,"pp',
  "samples.jsonl": JSON.stringify({
    step: 2,
    prompt: HOSTILE,
    response: HOSTILE,
    score: 1,
    kl: 0.3,
    tokens: [{ text: HOSTILE, kl: 0.25, advantage: -1 }],
  }) + "\n",
};

Deno.test("readRun() reads a run that is still being written", () =>
  withFolder(async (folder) => {
    await writeRun(join(folder, "a"), RUN);
    const run = await readRun(join(folder, "a") + "/");
    assertEquals(run.name, "a");
    assertEquals(run.metrics.map(({ step }) => step), [1, 2]); // the third is half written
    assertEquals([run.events, run.evaluation], [[], {}]);
  }));

Deno.test("readRun() names the file and the line that are broken", () =>
  withFolder(async (folder) => {
    await assertRejects(() => readRun(folder), RunFolderError, "it has no config.json");
    await writeRun(folder, { ...RUN, "metrics.jsonl": '{"step":1}\n[2]\n{"step":3}\n' });
    await assertRejects(
      () => readRun(folder),
      RunFolderError,
      "metrics.jsonl, line 2: it is not a JSON object",
    );
    await writeRun(folder, { ...RUN, "samples.jsonl": "{\n" });
    await assertRejects(
      () => readRun(folder),
      RunFolderError,
      "samples.jsonl, line 1: it is not JSON",
    );
  }));

Deno.test("reportPage() shows strangers' text as text, and lets only its own scripts run", () =>
  withFolder(async (folder) => {
    await writeRun(folder, RUN);
    const page = await reportPage([await readRun(folder)]);
    assert(!page.includes("<img"), "an element came from a text");
    assertStringIncludes(page, escapeHtml(HOSTILE));
    const policy = page.match(/Content-Security-Policy" content="([^"]*)"/)![1];
    assertStringIncludes(policy, "default-src 'none'");
    const scripts = [...page.matchAll(/<script>(.*?)<\/script>/gs)].map(([, source]) => source);
    assertEquals(scripts.length, 3);
    for (const source of scripts) assertStringIncludes(policy, await sourceHash(source));
  }));

Deno.test("reportPage() draws from the metrics that it embeds, and marks tokens by KL and advantage", () =>
  withFolder(async (folder) => {
    await writeRun(folder, RUN);
    const page = await reportPage([await readRun(folder)]);
    const data = JSON.parse(page.match(/id="runs">(.*?)<\/script>/s)![1]);
    assertEquals(data[0].metrics.map((row: Record<string, number>) => row["ppo/mean_scores"]), [
      0.5,
      0.75,
    ]);
    // The root of a quarter of the full mark is half of five levels, rounded.
    assertStringIncludes(page, '<span class="token kl3 loss" title="KL 0.25 nats, advantage -1">');
  }));

Deno.test("embeddedJson() cannot end the element that it stands in", () => {
  assertEquals(embeddedJson({ a: "</script>" }), '{"a":"\\u003c/script>"}');
});
