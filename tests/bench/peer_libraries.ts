/**
 * Matrix products of ours and of other libraries on WebGPU, behind one interface.
 *
 * The others have a configuration of their own in `peers/`, and are imported by names that are not read from the text, so
 * that nobody but this bench downloads them.
 */
import { rowShards } from "../../kernels/embedding.ts";
import { matmul } from "../../kernels/matmul.ts";
import type { Gpu } from "../../kernels/runtime/mod.ts";

/** A product to take: (rows, depth) by (depth, columns). */
export interface Product {
  /** `nn` is A B, `nt` is A B^T with `b` (columns, depth), `tn` is A^T B with `a` (depth, rows). */
  layout: "nn" | "nt" | "tn";
  rows: number;
  columns: number;
  depth: number;
  /** Row-major, in the shapes of the layout. */
  a: Float32Array;
  b: Float32Array;
}

/** One product in one library, its factors on the GPU. */
export interface PreparedProduct extends Disposable {
  /** Takes it so many times and waits until all are done. */
  run(repeats: number): Promise<void>;
  /** Takes it once, and gives what comes out: (rows, columns). */
  result(): Promise<ArrayLike<number>>;
}

/** A library that takes products on WebGPU. */
export interface Library {
  /** Where it reports what an adapter does not allow. */
  device: GPUDevice;
  prepare(product: Product): PreparedProduct;
}

/** What opens each library; a promise that rejects where it does not work on this adapter. */
export const LIBRARIES: Readonly<Record<string, (gpu: Gpu) => Promise<Library>>> = {
  "KL Guard": (gpu) => Promise.resolve(ours(gpu)),
  "jax-js": jaxJs,
  "tfjs-backend-webgpu": tensorFlowJs,
};

function shapesOf({ layout, rows, columns, depth }: Product) {
  return {
    a: layout === "tn" ? [depth, rows] : [rows, depth],
    b: layout === "nt" ? [columns, depth] : [depth, columns],
  };
}

/** `b` in shards of rows where it is larger than a binding and `out` padded, as the language models' heads have them. */
function ours(gpu: Gpu): Library {
  return {
    device: gpu.device,
    prepare(product) {
      const { rows, columns, layout } = product;
      const shapes = shapesOf(product);
      const a = gpu.tensor(product.a, shapes.a);
      const b = gpu.tensor(product.b, shapes.b);
      const padded = gpu.empty([rows, Math.ceil(columns / 64) * 64]);
      const out = padded.columns(0, columns);
      const shards = layout === "nt"
        ? rowShards(b, gpu.bindingBytes).map(({ from, to }) => ({
          a,
          b: b.rows(from, to),
          out: out.columns(from, to),
        }))
        : [{ a, b, out }];
      const record = (repeats: number) => {
        const pass = gpu.record("product");
        for (let i = 0; i < repeats; i++) {
          for (const shard of shards) matmul(pass, shard, { layout });
        }
        pass.submit();
      };
      return {
        async run(repeats) {
          record(repeats);
          await gpu.device.queue.onSubmittedWorkDone();
        },
        result() {
          record(1);
          return gpu.read(out);
        },
        [Symbol.dispose]: () => gpu.free(a, b, padded),
      };
    },
  };
}

/** What is used of an array of jax-js; an operation consumes its arguments, of which `ref` keeps one. */
interface JaxArray {
  ref: JaxArray;
  transpose(): JaxArray;
  data(): Promise<Float32Array>;
  /** Submits what it takes to have the array, and consumes it. */
  gpuBuffer(): Promise<GPUBuffer>;
  blockUntilReady(): Promise<JaxArray>;
  dispose(): void;
}

interface Jax {
  init(device: string): Promise<string[]>;
  defaultDevice(device: string): string;
  getWebGPUDevice(): GPUDevice;
  numpy: {
    array(data: Float32Array, options: { shape: number[] }): JaxArray;
    matmul(a: JaxArray, b: JaxArray): JaxArray;
  };
}

async function jaxJs(): Promise<Library> {
  const name = "@jax-js/jax";
  const { init, defaultDevice, getWebGPUDevice, numpy }: Jax = await import(name);
  if (!(await init("webgpu")).includes("webgpu")) throw new Error("it finds no WebGPU adapter");
  defaultDevice("webgpu");
  return {
    device: getWebGPUDevice(),
    prepare(product) {
      const shapes = shapesOf(product);
      const a = numpy.array(product.a, { shape: shapes.a });
      const b = numpy.array(product.b, { shape: shapes.b });
      const take = () =>
        numpy.matmul(
          product.layout === "tn" ? a.ref.transpose() : a.ref,
          product.layout === "nt" ? b.ref.transpose() : b.ref,
        );
      return {
        async run(repeats) {
          let last = take();
          for (let i = 1; i < repeats; i++) {
            await last.gpuBuffer(); // arrays are lazy, and one that is disposed of before is never computed
            last = take();
          }
          await last.blockUntilReady();
          last.dispose();
        },
        result: () => take().data(),
        [Symbol.dispose]() {
          a.dispose();
          b.dispose();
        },
      };
    },
  };
}

interface TfTensor {
  data(): Promise<Float32Array>;
  dispose(): void;
}

interface TensorFlow {
  setBackend(name: string): Promise<boolean>;
  backend(): { device: GPUDevice };
  tensor2d(data: Float32Array, shape: number[]): TfTensor;
  matMul(a: TfTensor, b: TfTensor, transposeA: boolean, transposeB: boolean): TfTensor;
  slice(x: TfTensor, begin: number[], size: number[]): TfTensor;
}

async function tensorFlowJs(): Promise<Library> {
  const [core, backend] = ["@tensorflow/tfjs-core", "@tensorflow/tfjs-backend-webgpu"];
  const tf: TensorFlow = await import(core);
  await import(backend);
  if (!await tf.setBackend("webgpu")) throw new Error("its WebGPU backend does not start");
  return {
    device: tf.backend().device,
    prepare(product) {
      const shapes = shapesOf(product);
      const a = tf.tensor2d(product.a, shapes.a);
      const b = tf.tensor2d(product.b, shapes.b);
      const take = () => tf.matMul(a, b, product.layout === "tn", product.layout === "nt");
      return {
        async run(repeats) {
          let last = take();
          for (let i = 1; i < repeats; i++) {
            last.dispose();
            last = take();
          }
          const corner = tf.slice(last, [0, 0], [1, 1]); // what is read has to wait for all
          await corner.data();
          for (const tensor of [corner, last]) tensor.dispose();
        },
        result: async () => {
          const out = take();
          const values = await out.data();
          out.dispose();
          return values;
        },
        [Symbol.dispose]() {
          a.dispose();
          b.dispose();
        },
      };
    },
  };
}
