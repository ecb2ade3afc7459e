/** Adapters as a folder that PEFT loads, and back. */

import { join, resolve } from "node:path";
import { writeFileAtomic, writeFolderAtomic } from "../weights/atomic.ts";
import { ModelFolderError } from "../weights/errors.ts";
import {
  holdsAdapters,
  type ModelFolder,
  openAdapterFolder,
  readAdapterConfig,
} from "../weights/folder.ts";
import { isSnapshot } from "../weights/hub_cache.ts";
import { parseHubName } from "../weights/hub_name.ts";
import { showJson } from "../weights/json.ts";
import { writeSafetensors } from "../weights/safetensors.ts";
import { ADAPTER_CONFIG, ADAPTER_WEIGHTS, MODEL_FILE } from "../weights/weights.ts";
import { parseAdapterConfig, toPeftConfig } from "./adapter_config.ts";
import type { CausalLM } from "./causal_lm.ts";
import { Adapters, LoraError } from "./lora.ts";
import { ParameterLayout, type ParameterSpec, type ParameterValues } from "./params.ts";
import type { SaveOptions } from "./save.ts";
import { type CheckpointNames, expectParameters, readParameters, storedTensors } from "./stored.ts";

/** PEFT wraps the model twice. The value head lies beside the adapters under TRL's name, which PEFT leaves out. */
const NAMES: CheckpointNames = { prefix: "base_model.model.transformer.", heads: /^v_head\./ };

/**
 * The folder of the whole model that a folder stands for, and the folders of adapters between the two, in the order
 * in which they were trained: none if the folder itself holds a whole model.
 *
 * @param find Finds the folder of a model that adapters name. Adapters from the Hub come from a stranger, who is not to
 * choose a folder of this machine: what they name is not `local`.
 * @throws {ModelFolderError} If a folder or file is missing, the adapters belong to themselves, or ones from the Hub
 * name a path.
 * @throws {HubError} If the model is on the Hub and cannot be had.
 * @throws {ModelConfigError} If adapters have an option that is not implemented.
 */
export async function findBase(
  path: string,
  find: (name: string, options: { local: boolean }) => Promise<string>,
): Promise<{ base: string; adapters: string[] }> {
  const adapters: string[] = [];
  let base = path;
  while (await holdsAdapters(base)) {
    adapters.unshift(resolve(base));
    const source = join(base, ADAPTER_CONFIG);
    const { baseModel } = parseAdapterConfig(await readAdapterConfig(base), source);
    const local = !isSnapshot(base);
    if (!local && parseHubName(baseModel) === undefined) throw namesPath(source, baseModel);
    try {
      base = await find(baseModel, { local });
    } catch (error) {
      throw error instanceof ModelFolderError ? namedBy(source, error) : error;
    }
    if (!adapters.includes(resolve(base))) continue;
    throw new ModelFolderError(
      `Cannot load ${path}: its adapters belong to ${base}, which is adapters of the same model; ` +
        `name a whole model in ${ADAPTER_CONFIG}`,
      { path },
    );
  }
  return { base, adapters };
}

function namesPath(path: string, baseModel: string): ModelFolderError {
  const problem = `base_model_name_or_path is ${showJson(baseModel)}, which is no model on the Hub`;
  const remedy = "copy the adapters into a folder of your own, and name their base model there";
  return new ModelFolderError(`Cannot use ${path}: ${problem}; ${remedy}`, { path });
}

/** An error that is the fault of what `adapter_config.json` names. */
function namedBy(path: string, cause: Error): ModelFolderError {
  const problem = cause.message.replace(/^C/, "c");
  return new ModelFolderError(`Cannot use ${path}: ${problem}`, { path, cause });
}

/**
 * Overwrites the adapters of a model, and its value head if the folder has one, with those of a folder.
 *
 * @throws {ModelFolderError} If they are those of other layers, or of another rank.
 */
export async function readAdapters(model: CausalLM, path: string): Promise<void> {
  using folder = await openAdapterFolder(path);
  await read(model, folder, model.trained);
}

/**
 * Adds the adapters of a folder to the weights of a model for good, and overwrites its value head if the folder has
 * one.
 *
 * @throws {ModelFolderError} If the adapters do not fit the model, which may have no layers of these names.
 * @throws {ModelConfigError} If the adapters have an option that is not implemented.
 */
export async function mergeAdapters(model: CausalLM, path: string): Promise<void> {
  using folder = await openAdapterFolder(path);
  const { gpu, values: weights, parameters } = model;
  const adapters = adaptersOf(weights.layout.specs, folder);
  expectParameters(folder, {
    layers: adapters.layers.length,
    parameters: () => adapters.parameters,
    names: NAMES,
  });
  const layout = new ParameterLayout(adapters.parameters, gpu.bindingBytes);
  const values = layout.allocate(gpu, "merge");
  try {
    const ofValueHead = parameters.layout.specs.filter(({ name }) => NAMES.heads.test(name));
    await read(model, folder, {
      layout: { specs: [...layout.specs, ...ofValueHead] },
      get: (name) => (values.has(name) ? values : parameters).get(name),
    });
    const pass = gpu.record("merge");
    for (const name of adapters.names) {
      adapters.merge(pass, { name, weight: weights.get(`${name}.weight`), values });
    }
    pass.submit();
  } finally {
    values.free(gpu);
  }
}

/** The adapters that a folder describes, of a model with these parameters. */
function adaptersOf(specs: readonly ParameterSpec[], { path, config }: ModelFolder): Adapters {
  const source = join(path, ADAPTER_CONFIG);
  const options = parseAdapterConfig(config, source);
  try {
    return new Adapters(options, specs);
  } catch (error) {
    throw error instanceof LoraError ? namedBy(source, error) : error;
  }
}

/**
 * Writes a model's adapters, and its value head, beside the tokenizer; the folder appears whole or not at all.
 *
 * @param model Has adapters.
 * @param options.card The model card, for `README.md`.
 */
export async function saveAdapters(
  { gpu, trained, tokenizer, files: { name = "" } }: CausalLM,
  adapters: Adapters,
  path: string,
  { card }: Pick<SaveOptions, "card"> = {},
): Promise<void> {
  const { options, layers } = adapters;
  const all = new Set(layers.map(({ name }) => name.replace(/^.*\./, "")));
  const targets = options.targets.length > 0 ? options.targets : [...all];
  const fanInFanOut = layers[0].transposed;
  const config = toPeftConfig({ ...options, targets, baseModel: name }, { fanInFanOut });
  const files = {
    [ADAPTER_CONFIG]: JSON.stringify(config, null, 2) + "\n",
    ...tokenizer.files,
    ...(card !== undefined && { "README.md": card }),
  };
  await writeFolderAtomic(path, async (folder) => {
    for (const [name, content] of Object.entries(files)) {
      await writeFileAtomic(join(folder, name), content);
    }
    const tensors = storedTensors({ gpu, values: trained, names: NAMES });
    await writeSafetensors(join(folder, ADAPTER_WEIGHTS), tensors);
  }, { outdated: MODEL_FILE });
}

async function read(
  { gpu }: CausalLM,
  folder: ModelFolder,
  values: ParameterValues,
): Promise<void> {
  const isStored = folder.tensors.has("v_head.summary.weight");
  await readParameters(folder, {
    gpu,
    values,
    specs: values.layout.specs.filter(({ name }) => isStored || !NAMES.heads.test(name)),
    names: NAMES,
    ignored: (name) => NAMES.heads.test(name),
    kind: `the adapters that ${ADAPTER_CONFIG} describes`,
  });
}
