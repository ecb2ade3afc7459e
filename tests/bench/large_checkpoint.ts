/**
 * A checkpoint of the size of GPT-2 (124 M parameters, a token embedding larger than one binding of software
 * Vulkan): how long loading, a forward and generation take, and how much memory beside the parameters.
 *
 *     deno run --allow-all tests/bench/large_checkpoint.ts [float32|float16|bfloat16]
 *
 * Writes random weights to a temporary folder, then does the rest in a process of its own. Linux only: the
 * peak of memory is read from /proc, for which Deno asks all permissions. On software Vulkan the parameters themselves are in the process, too.
 */
import { Gpu } from "../../kernels/runtime/mod.ts";
import { parseGpt2Config, toHuggingFaceConfig } from "../../model/config.ts";
import { gpt2Parameters } from "../../model/gpt2.ts";
import { loadCausalLM } from "../../model/gpt2_weights.ts";
import { type SaveDtype, writeModelFolder } from "../../model/save.ts";
import { Rng } from "../../train/rng.ts";

const TOKENIZER = new URL("../fixtures/gpt2/tokenizer.json", import.meta.url);

const [first = "float32", folder] = Deno.args;
if (folder === undefined) await prepare(first as SaveDtype);
else await measure(folder);

/** Writes a folder of random weights, and measures it in another process. */
async function prepare(dtype: SaveDtype): Promise<void> {
  const json = {
    model_type: "gpt2",
    vocab_size: 50257,
    n_positions: 1024,
    n_embd: 768,
    n_layer: 12,
    n_head: 12,
  };
  const config = parseGpt2Config(json, "config.json");
  const rng = new Rng(1, "weights");
  const noise = Float32Array.from({ length: 2 ** 20 }, () => 0.02 * rng.normal());
  const path = await Deno.makeTempDir({ prefix: "kl-guard-" });
  try {
    const tensors = gpt2Parameters(config).map(({ name, shape }) => {
      const size = shape.reduce((product, length) => product * length, 1);
      const from = rng.int(noise.length);
      const data = () => Float32Array.from({ length: size }, (_, i) => noise[(from + i) % 2 ** 20]);
      return { name: `transformer.${name}`, shape, data };
    });
    const tokenizer = JSON.parse(await Deno.readTextFile(TOKENIZER));
    for (let id = 512; id < config.vocabSize; id++) tokenizer.model.vocab[`token${id}`] = id;
    const files = { "tokenizer.json": JSON.stringify(tokenizer) };
    await writeModelFolder(path, { config: toHuggingFaceConfig(config), files, tensors }, {
      dtype,
    });
    const { code } = await new Deno.Command("deno", {
      args: ["run", "--allow-all", import.meta.filename!, dtype, path],
      stdout: "inherit",
      stderr: "inherit",
    }).output();
    if (code !== 0) Deno.exit(code);
  } finally {
    await Deno.remove(path, { recursive: true });
  }
}

async function measure(path: string): Promise<void> {
  using gpu = await Gpu.open();
  console.log(`${first} on ${gpu.description}, ${gpu.bindingBytes / 2 ** 20} MiB in one binding`);
  const base = peak();
  const load = seconds();
  using model = await loadCausalLM(gpu, path);
  const parameters = 4 * model.layout.count / 2 ** 20;
  await gpu.device.queue.onSubmittedWorkDone();
  console.log(
    `load      ${load()} s, ${model.layout.count} parameters in ${
      parameters.toFixed(0)
    } MiB of f32, ` +
      `${(peak() - base).toFixed(0)} MiB of memory more than before`,
  );

  const inputIds = [Array.from({ length: 64 }, (_, i) => (i * 7919) % model.config.vocabSize)];
  const forward = seconds();
  const { logprobs } = await model.logprobs({ inputIds });
  const mean = logprobs[0].reduce((sum, x) => sum + x, 0) / 63;
  const uniform = -Math.log(model.config.vocabSize);
  console.log(
    `forward   ${forward()} s for 64 tokens, ${mean.toFixed(2)} nats a token; ` +
      `of nothing known it were ${uniform.toFixed(2)}`,
  );
  const generate = seconds();
  const { ids } = await model.generate([[1, 2, 3]], { maxNewTokens: 16, greedy: true, stop: [] });
  console.log(`generate  ${generate()} s for 16 tokens, the last of which is ${ids[0].at(-1)}`);
  console.log(
    `peak      ${peak().toFixed(0)} MiB, GPU ${(gpu.peakBytes / 2 ** 20).toFixed(0)} MiB`,
  );
}

/** The most memory that this process has had, in MiB. */
function peak(): number {
  const status = Deno.readTextFileSync("/proc/self/status");
  return Number(status.match(/VmHWM:\s+(\d+)/)![1]) / 1024;
}

/** Starts a clock; gives the seconds since then. */
function seconds(): () => string {
  const started = performance.now();
  return () => ((performance.now() - started) / 1000).toFixed(1);
}
