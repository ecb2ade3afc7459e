import type { Gpu } from "../../kernels/runtime/mod.ts";
import type { ParameterValues } from "../../model/params.ts";
import { storedTensors } from "../../model/stored.ts";
import {
  openSafetensors,
  type TensorToWrite,
  writeSafetensors,
} from "../../weights/safetensors.ts";

/** The tiny GPT-2 whose numbers `transformers` and PyTorch computed (float32, CPU). */
export const GPT2 = new URL("../fixtures/gpt2", import.meta.url).pathname;

/** A tiny GPT-Neo, likewise; two of its four layers attend to a window of eight tokens. */
export const GPT_NEO = new URL("../fixtures/gpt-neo", import.meta.url).pathname;

/** A JSON file of the goldens. */
export async function golden<T>(name: string, folder = GPT2): Promise<T> {
  return JSON.parse(await Deno.readTextFile(`${folder}/${name}.json`));
}

/** The tensors of a safetensors golden as the checkpoint names them, without the prefix `transformer.`. */
export async function goldenTensors(
  name: string,
  folder = GPT2,
): Promise<Map<string, Float32Array>> {
  using file = await openSafetensors(`${folder}/${name}.safetensors`);
  const tensors = new Map<string, Float32Array>();
  for (const stored of file.tensors.keys()) {
    tensors.set(stored.replace(/^transformer\./, ""), await file.read(stored));
  }
  return tensors;
}

/** Parameters or gradients as {@linkcode goldenTensors} has them: what is transposed here, the right way round. */
export async function tensorsAsStored(
  gpu: Gpu,
  values: ParameterValues,
): Promise<Map<string, Float32Array>> {
  const names = { prefix: "", heads: /^$/ };
  const tensors = new Map<string, Float32Array>();
  for (const { name, data } of storedTensors({ gpu, values, names })) {
    tensors.set(name, await (data as () => Promise<Float32Array>)());
  }
  return tensors;
}

/** What forward.json holds, as far as tests read it. */
export interface ForwardGolden {
  texts: string[];
  prompt_ids: number[][];
  input_ids: number[][];
  attention_mask: number[][];
  logits_last: number[][];
  logits_sum_per_position: number[][];
  token_logprobs: number[][];
  entropy: number[][];
  token_mask: number[][];
  greedy_new_ids: number[][];
}

/** Makes `folder` a model folder: a copy of the tiny GPT-2. */
export async function copyGpt2(folder: string): Promise<void> {
  await Deno.mkdir(folder, { recursive: true });
  for (
    const name of ["config.json", "model.safetensors", "tokenizer.json", "tokenizer_config.json"]
  ) {
    await Deno.copyFile(`${GPT2}/${name}`, `${folder}/${name}`);
  }
}

/** Rewrites a model folder's weights as `change` returns them. */
export async function changeWeights(
  folder: string,
  change: (tensors: TensorToWrite[]) => TensorToWrite[],
): Promise<void> {
  const path = `${folder}/model.safetensors`;
  const tensors: TensorToWrite[] = [];
  {
    using file = await openSafetensors(path);
    for (const [name, { shape }] of file.tensors) {
      tensors.push({ name, shape, data: await file.read(name) });
    }
  }
  await writeSafetensors(path, change(tensors));
}
