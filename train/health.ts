/**
 * What a machine must have for training, looked at one thing after the other: the checks behind `deno task doctor`.
 *
 * @module
 */
import { Gpu, GpuUnavailableError } from "../kernels/runtime/mod.ts";
import { matmul } from "../kernels/matmul.ts";
import { loadCausalLM } from "../model/gpt2_weights.ts";
import { EMBEDDED_POLICY } from "./open_run.ts";
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

/** The adapter with its limits, and whether its kernels compute what they should. */
export async function checkGpu(): Promise<Finding[]> {
  let gpu: Gpu;
  try {
    gpu = await Gpu.open();
  } catch (error) {
    if (!(error instanceof GpuUnavailableError)) throw error;
    const advice = "Linux: apt-get install mesa-vulkan-drivers; Windows and macOS bring theirs";
    return [{ name: "adapter", status: "fail", detail: "no WebGPU adapter was found", advice }];
  }
  using opened = gpu;
  return [
    checkAdapter(opened),
    checkLimits(opened),
    await checkMatmul(opened),
    await checkEmbeddedModel(opened),
  ];
}

function checkAdapter({ description, software, subgroupSize }: Gpu): Finding {
  const subgroups = subgroupSize > 0 ? `subgroups of ${subgroupSize}` : "no subgroups of one size";
  const detail = `${description}, ${subgroups}`;
  if (!software) return { name: "adapter", status: "ok", detail };
  const advice =
    "this is the CPU: fine for the embedded model; for larger ones install the GPU's driver";
  return { name: "adapter", status: "warn", detail, advice };
}

function checkLimits({ device: { limits, features }, bindingBytes }: Gpu): Finding {
  const mebibytes = (bytes: number) => `${Math.floor(bytes / 2 ** 20)} MiB`;
  const useful = ["subgroups", "shader-f16", "timestamp-query"] as GPUFeatureName[];
  return {
    name: "limits",
    status: "ok",
    detail:
      `${mebibytes(bindingBytes)} in one binding, ${
        mebibytes(limits.maxBufferSize)
      } in one buffer, ` +
      `${limits.maxComputeWorkgroupStorageSize / 1024} KiB in a workgroup; ` +
      `features: ${useful.filter((name) => features.has(name)).join(", ") || "none of use"}`,
  };
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
  return {
    name: "embedded model",
    status: "ok",
    detail: `"${prompt}${texts[0]}", one text at ${rate} tokens/s`,
  };
}
