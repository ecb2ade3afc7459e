/**
 * What a machine must have for training, looked at one thing after the other: the checks behind `deno task doctor`.
 *
 * @module
 */
import { Gpu, GpuUnavailableError } from "../kernels/runtime/mod.ts";
import { matmul } from "../kernels/matmul.ts";
import { loadCausalLM } from "../model/gpt2_weights.ts";
import { checkDriver } from "./health_driver.ts";
import { EMBEDDED_POLICY } from "./open_run.ts";
import { PpoTrainer } from "./ppo_trainer.ts";
import { Rng } from "./rng.ts";

/** What one check found. */
export interface Finding {
  /** What was looked at. */
  name: string;
  /** `warn`: it works, but something will be slow or missing. */
  status: "ok" | "warn" | "fail";
  /** What was found. */
  detail: string;
  /** What to do about it; absent where nothing is to be done. */
  advice?: string;
}

/** The oldest Deno that has what is used here: text imports, and subgroups in its WebGPU. */
const OLDEST_DENO = [2, 9];

/** Whether this Deno is new enough. */
export function checkDeno(version: string): Finding {
  const [major, minor] = version.split(".").map(Number);
  const isNewEnough = major > OLDEST_DENO[0] ||
    (major === OLDEST_DENO[0] && minor >= OLDEST_DENO[1]);
  const detail = version;
  if (isNewEnough) return { name: "Deno", status: "ok", detail };
  const advice = "use ./denow instead of deno, or run: deno upgrade";
  return { name: "Deno", status: "fail", detail, advice };
}

/** Which permissions training lacks; `net` is only for models that are not on this machine yet. */
export async function checkPermissions(): Promise<Finding[]> {
  const needs = [
    {
      name: "env",
      variable: "HF_HOME",
      lacking: "warn",
      advice: "add --allow-env=HF_*,HOME to find models that were downloaded, and your token",
    },
    { name: "read", lacking: "fail", advice: "add --allow-read: models and settings are files" },
    { name: "write", lacking: "warn", advice: "add --allow-write: runs are written to folders" },
    {
      name: "net",
      host: "huggingface.co",
      lacking: "warn",
      advice: "add --allow-net=huggingface.co to download models",
    },
  ] as const;
  return await Promise.all(needs.map(async ({ lacking, advice, ...permission }) => {
    const { state, partial } = await Deno.permissions.query(permission);
    const isThere = state === "granted" || partial;
    const name = `permission ${permission.name}`;
    if (isThere) return { name, status: "ok", detail: partial ? "granted in part" : "granted" };
    return { name, status: lacking, detail: "not granted", advice };
  }));
}

/** Whether models can be kept in the cache of downloads. */
export async function checkCache(folder: string): Promise<Finding> {
  const name = "model cache";
  try {
    await Deno.mkdir(folder, { recursive: true });
    await Deno.remove(await Deno.makeTempFile({ dir: folder }));
    return { name, status: "ok", detail: folder };
  } catch (error) {
    return {
      name,
      status: "warn",
      detail: `${folder}: ${(error as Error).message}`,
      advice: "name a folder that can be written with HF_HUB_CACHE; models on disk work without it",
    };
  }
}

/**
 * The adapter with its limits, and whether its kernels compute what they should.
 *
 * @param drivers Paths of the manifests of Vulkan drivers that were named to its loader, if any were.
 */
export async function checkGpu(drivers?: readonly string[]): Promise<Finding[]> {
  let gpu: Gpu;
  try {
    gpu = await Gpu.open({ timestamps: true });
  } catch (error) {
    if (!(error instanceof GpuUnavailableError)) throw error;
    const advice = "Linux: apt-get install mesa-vulkan-drivers; Windows and macOS bring theirs";
    return [{ name: "adapter", status: "fail", detail: "no WebGPU adapter was found", advice }];
  }
  using opened = gpu;
  return [
    checkAdapter(opened),
    ...(await checkDriver(opened.software, { drivers }).then((found) => found ? [found] : [])),
    checkLimits(opened),
    checkFeatures(opened),
    await checkMatmul(opened),
    await checkEmbeddedModel(opened),
    await checkTraining(opened),
  ];
}

function checkAdapter({ description, software }: Gpu): Finding {
  const name = "adapter";
  if (!software) return { name, status: "ok", detail: description };
  const advice =
    "this is the CPU: fine for the embedded model; for larger ones install the GPU's driver";
  return { name, status: "warn", detail: description, advice };
}

/** What kernels count on: WebGPU's own defaults, which every adapter should have. */
const LEAST = { binding: 2 ** 27, buffer: 2 ** 28, workgroup: 2 ** 14 };

function checkLimits({ device: { limits }, bindingBytes }: Gpu): Finding {
  const name = "limits";
  const { maxBufferSize, maxComputeWorkgroupStorageSize: workgroupBytes } = limits;
  const mebibytes = (bytes: number) => `${Math.floor(bytes / 2 ** 20)} MiB`;
  const detail = `${mebibytes(bindingBytes)} in one binding, ${mebibytes(maxBufferSize)} in one ` +
    `buffer, ${workgroupBytes / 1024} KiB in a workgroup`;
  const isEnough = bindingBytes >= LEAST.binding && maxBufferSize >= LEAST.buffer &&
    workgroupBytes >= LEAST.workgroup;
  if (isEnough) return { name, status: "ok", detail };
  const advice = "less than WebGPU promises: update the driver; deno task plan says what fits";
  return { name, status: "warn", detail, advice };
}

function checkFeatures({ device: { features }, subgroupSize }: Gpu): Finding {
  const detail = [
    subgroupSize > 0 ? `subgroups of ${subgroupSize}` : "no subgroups of one size",
    features.has("timestamp-query")
      ? "timestamps for deno task profile"
      : "no timestamps, so deno task profile measures from outside",
  ];
  return { name: "features", status: "ok", detail: detail.join("; ") };
}

/** Rounding of 97 products and sums of numbers around 1 in f32 stays far below this. */
const TOLERANCE = 1e-4;

/** A product of matrices with prime sizes against the same in f64. */
async function checkMatmul(gpu: Gpu): Promise<Finding> {
  const [M, K, N] = [61, 97, 71];
  const rng = new Rng(1, "doctor");
  const [a, b] = [M * K, K * N].map((size) =>
    Float32Array.from({ length: size }, () => rng.normal())
  );
  const out = gpu.empty([M, N]);
  const pass = gpu.record("self-test");
  matmul(pass, { a: gpu.tensor(a, [M, K]), b: gpu.tensor(b, [K, N]), out });
  pass.submit();
  const product = await gpu.read(out);
  let worst = 0;
  for (let m = 0; m < M; m++) {
    for (let n = 0; n < N; n++) {
      let sum = 0;
      for (let k = 0; k < K; k++) sum += a[m * K + k] * b[k * N + n];
      worst = Math.max(worst, Math.abs(sum - product[m * N + n]));
    }
  }
  const detail = `largest error of a ${M} x ${K} x ${N} product: ${worst.toExponential(1)}`;
  if (worst < TOLERANCE) return { name: "kernels", status: "ok", detail };
  const advice = "the driver computes wrongly: update it, and report the adapter's name";
  return { name: "kernels", status: "fail", detail, advice };
}

/** What the embedded policy says next, on every adapter: no other token is nearly as probable. */
const CONTINUATION = " a little more than a few of the characters.";

/** Whether the embedded policy loads and continues a text; says how fast. */
async function checkEmbeddedModel(gpu: Gpu): Promise<Finding> {
  using model = await loadCausalLM(gpu, EMBEDDED_POLICY);
  const prompt = "the movie was";
  const options = { maxNewTokens: 16, greedy: true };
  await model.generate([prompt], options); // compiles
  const started = performance.now();
  const { texts, ids } = await model.generate([prompt], options);
  const seconds = (performance.now() - started) / 1000;
  const rate = (ids[0].length / seconds).toFixed(0);
  const name = "embedded model";
  const detail = `"${prompt}${texts[0]}", one text at ${rate} tokens/s`;
  if (texts[0] === CONTINUATION) return { name, status: "ok", detail };
  return {
    name,
    status: "warn",
    detail,
    advice: `elsewhere it goes on with "${CONTINUATION}": update the driver if training goes wrong`,
  };
}

/** Largest log-ratio, in nats, that rounding leaves between sampling and training; the guard's own limit. */
const FIRST_RATIO = 1e-3;

/** A PPO step, backward passes included: before the policy moves, its ratio to itself must be 1. */
async function checkTraining(gpu: Gpu): Promise<Finding> {
  using trainer = await PpoTrainer.create({
    gpu,
    reward: "heuristic",
    judge: "",
    batchSize: 2,
    miniBatchSize: 1, // so that the update computes what was scored once more
    maxNewTokens: 8,
    epochs: 1,
    guardWindow: 2,
  });
  const { metrics } = await trainer.trainStep(["the movie was", "it is"]);
  const [ratio, norm] = [metrics["guard/first_ratio"], metrics["ppo/grad_norm"]];
  const detail = `a PPO step in ${metrics["timing_s/total"].toFixed(1)} s; log-ratio of the ` +
    `unmoved policy ${ratio.toExponential(1)}, gradient norm ${norm.toPrecision(2)}`;
  const isRight = ratio < FIRST_RATIO && Number.isFinite(norm) && metrics["ppo/skipped"] === 0;
  if (isRight) return { name: "training", status: "ok", detail };
  const advice = "the driver computes wrongly: update it, and report the adapter's name";
  return { name: "training", status: "fail", detail, advice };
}
