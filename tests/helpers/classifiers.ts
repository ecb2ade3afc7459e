import { assertEquals } from "@std/assert";
import type { SequenceClassifier } from "../../model/sequence_classifier.ts";
import { type CheckpointNames, storedTensors } from "../../model/stored.ts";
import { openSafetensors } from "../../weights/safetensors.ts";
import { assertClose, type Tolerance } from "./close.ts";

/** The tiny DistilBERT classifier whose numbers `transformers` and PyTorch computed (float32, CPU). */
export const DISTILBERT = new URL("../fixtures/distilbert", import.meta.url).pathname;

/** What its forward.json holds, as far as tests read it. */
export interface ClassifierGolden {
  texts: string[];
  ids: number[][];
  logits: number[][];
  probabilities: number[][];
  /** +2 x confidence where POSITIVE wins, else -0.5 x confidence. */
  reward: number[];
  labels: number[];
  cross_entropy: number;
}

/** The figures of a classifier's folder of goldens. */
export async function classifierGolden(folder: string): Promise<ClassifierGolden> {
  return JSON.parse(await Deno.readTextFile(`${folder}/forward.json`));
}

/** Fails unless every gradient of a model is close to that of a file, under the names and shapes of the file. */
export async function assertGradients(
  { gpu, grads }: SequenceClassifier,
  { path, names, tolerance }: { path: string; names: CheckpointNames; tolerance: Tolerance },
): Promise<void> {
  using file = await openSafetensors(path);
  const computed = storedTensors({ gpu, values: grads!, names });
  assertEquals(computed.map(({ name }) => name).sort(), [...file.tensors.keys()].sort());
  for (const { name, data } of computed) {
    const gradient = typeof data === "function" ? await data() : data;
    assertClose(gradient, await file.read(name), tolerance, name);
  }
}
