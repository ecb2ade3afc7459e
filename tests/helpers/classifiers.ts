import { assertEquals } from "@std/assert";
import { crossEntropy } from "../../kernels/cross_entropy.ts";
import type { SequenceClassifier } from "../../model/sequence_classifier.ts";
import { type CheckpointNames, storedTensors } from "../../model/stored.ts";
import type { TokenRows } from "../../model/token_batch.ts";
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

/** The mean cross-entropy of a batch, nats; overwrites the model's gradients with its. */
export async function meanCrossEntropy(
  model: SequenceClassifier,
  { rows, targets: labels }: { rows: TokenRows; targets: readonly number[] },
): Promise<number> {
  const { gpu } = model;
  const B = labels.length;
  const targets = gpu.tensor(labels, [B], "u32");
  const weights = gpu.tensor(new Float32Array(B).fill(1 / B));
  const losses = gpu.empty([B]);
  const pass = gpu.record();
  model.grads!.clear(pass);
  const batch = model.upload(rows);
  const logits = model.forward(pass, batch, { train: true });
  crossEntropy(pass, { logits, targets, weights, losses });
  model.backward(pass, batch, logits);
  pass.submit();
  const mean = (await gpu.read(losses)).reduce((sum, loss) => sum + loss) / B;
  gpu.free(targets, weights, losses);
  return mean;
}

/** Rewrites a model folder's `config.json` with some of its keys changed; undefined takes one away. */
export async function changeConfig(
  folder: string,
  changes: Readonly<Record<string, unknown>>,
): Promise<void> {
  const path = `${folder}/config.json`;
  const config = JSON.parse(await Deno.readTextFile(path));
  await Deno.writeTextFile(path, JSON.stringify({ ...config, ...changes }));
}

/** Copies the files of a model that its folder of goldens has. */
export async function copyModel(from: string, to: string): Promise<void> {
  await Deno.mkdir(to, { recursive: true });
  for (
    const name of ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
  ) {
    await Deno.copyFile(`${from}/${name}`, `${to}/${name}`);
  }
}

/** The bits of every parameter. */
export async function parameterBits({ gpu, values }: SequenceClassifier): Promise<Uint32Array[]> {
  const chunks = await Promise.all(values.chunks.map((chunk) => gpu.read(chunk)));
  return chunks.map(({ buffer }) => new Uint32Array(buffer));
}
