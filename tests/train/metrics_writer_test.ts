import { assertEquals } from "@std/assert";
import type { PpoMetrics } from "../../train/metrics.ts";
import { type AppendText, MetricsWriter } from "../../train/metrics_writer.ts";

/** Runs `test` with a writer into a temporary folder and a function that reads one of its files. */
async function withWriter(
  test: (writer: MetricsWriter, read: (file: string) => Promise<string>) => Promise<void>,
): Promise<void> {
  const folder = await Deno.makeTempDir();
  const file = (name: string): AppendText => (text) =>
    Deno.writeTextFile(`${folder}/${name}`, text, { append: true });
  try {
    const writer = new MetricsWriter({
      metrics: file("metrics.jsonl"),
      samples: file("samples.jsonl"),
    });
    await test(writer, (name) => Deno.readTextFile(`${folder}/${name}`));
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

const line = (step: number, changes: Partial<PpoMetrics> = {}) =>
  ({ "step": step, "objective/kl": 0.1, ...changes }) as PpoMetrics;

Deno.test("MetricsWriter appends one line per step, there when the call resolves", () =>
  withWriter(async (writer, read) => {
    await writer.writeMetrics(line(0));
    assertEquals(await read("metrics.jsonl"), '{"step":0,"objective/kl":0.1}\n');
    await writer.writeMetrics(line(1));
    const lines = (await read("metrics.jsonl")).trimEnd().split("\n");
    assertEquals(lines.map((text) => JSON.parse(text).step), [0, 1]);
  }));

Deno.test("MetricsWriter writes what was not measured as null", () =>
  withWriter(async (writer, read) => {
    await writer.writeMetrics(line(0, { "objective/kl": NaN, "ppo/grad_norm": Infinity }));
    assertEquals(JSON.parse(await read("metrics.jsonl")), {
      "step": 0,
      "objective/kl": null,
      "ppo/grad_norm": null,
    });
  }));

Deno.test("MetricsWriter keeps samples with line ends and any characters on one line each", () =>
  withWriter(async (writer, read) => {
    const samples = ['a "film"\nwas', "très bon 🎬\u2028"].map((response, i) => ({
      step: i,
      prompt: "It ",
      response,
      score: 1.5,
      kl: 0.25,
    }));
    await writer.writeSamples(samples);
    const lines = (await read("samples.jsonl")).trimEnd().split("\n");
    assertEquals(lines.map((text) => JSON.parse(text)), samples);
  }));

Deno.test("MetricsWriter goes on with an existing file and writes nothing for no samples", () =>
  withWriter(async (writer, read) => {
    const sample = { step: 0, prompt: "", response: "", score: 0, kl: 0 };
    await writer.writeSamples([sample]);
    await writer.writeSamples([]);
    await writer.writeSamples([sample]);
    assertEquals((await read("samples.jsonl")).split("\n").length, 3);
  }));
