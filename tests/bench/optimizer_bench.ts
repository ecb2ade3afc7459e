import { adamw } from "../../kernels/adamw.ts";
import { globalNorm, globalNormPartials } from "../../kernels/global_norm.ts";
import { Gpu } from "../../kernels/runtime/mod.ts";

/** Parameters: a binding of 128 MiB of them. Waiting adds about 12 ms to a time, whatever it holds. */
const N = 2 ** 25;

const gpu = await Gpu.open();
const grads = gpu.tensor(new Float32Array(N).fill(0.01));
const [params, m, v] = [gpu.empty([N]), gpu.empty([N]), gpu.empty([N])];
const partials = gpu.empty([globalNormPartials([grads])]);
const norm = gpu.tensor([1, 1, 1, 0]);
const state = gpu.tensor([1, 0.1, 0.001, 0]);
const learningRate = gpu.tensor([1e-3]);

Deno.bench("adamw() of 2^25 parameters", { n: 5, warmup: 1 }, async () => {
  const pass = gpu.record();
  const options = { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weightDecay: 0 };
  adamw(pass, { params, grads, m, v, norm, state, learningRate }, options);
  pass.submit();
  await gpu.device.queue.onSubmittedWorkDone();
  gpu.check();
});

Deno.bench("globalNorm() of 2^25 gradients", { n: 5, warmup: 1 }, async () => {
  const pass = gpu.record();
  globalNorm(pass, { grads: [grads], partials, norm }, { maxNorm: 1 });
  pass.submit();
  await gpu.device.queue.onSubmittedWorkDone();
  gpu.check();
});
