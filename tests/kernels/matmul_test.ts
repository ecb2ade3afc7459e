import { assertEquals, assertThrows } from "@std/assert";
import { matmul, type MatmulOptions } from "../../kernels/matmul.ts";
import { type MatmulChoice, possibleChoices } from "../../kernels/matmul_choice.ts";
import { type Gpu, ShapeError, type Tensor } from "../../kernels/runtime/mod.ts";
import { assertClose, randn } from "../helpers/close.ts";
import { withGpu } from "../helpers/gpu.ts";
import { geluExact, geluNew } from "../reference/gelu.ts";
import * as reference from "../reference/matmul.ts";

const LAYOUTS = ["nn", "nt", "tn"] as const;
type Layout = typeof LAYOUTS[number];

/** Rows, columns, depth. */
type Sizes = readonly [number, number, number];

/** Sizes that are multiples of four where register tiles need it, and sizes that are not. */
const AWKWARD: readonly Sizes[] = [
  [1, 1, 1],
  [1, 48, 4],
  [1, 40, 16],
  [2, 100, 48],
  [2, 3, 5],
  [5, 2, 36],
  [300, 1, 52],
  [4, 36, 7],
  [7, 36, 12],
  [9, 50, 17],
  [17, 68, 100],
  [31, 33, 15],
  [36, 144, 49],
  [64, 64, 32],
  [65, 65, 65],
  [100, 4, 192],
];

/**
 * What a sum of `depth` products of standard normal numbers may be off by in f32: each addition rounds a
 * partial sum of about sqrt(depth) at 6e-8, and there is room for the worst of some thousand elements.
 */
const rounding = (depth: number) => ({ atol: 3e-6 * Math.sqrt(depth) });

function shapes(layout: Layout, [rows, columns, depth]: Sizes) {
  return {
    a: layout === "tn" ? [depth, rows] : [rows, depth],
    b: layout === "nt" ? [columns, depth] : [depth, columns],
  };
}

/** Records one matmul, and reads its result. */
async function run(
  gpu: Gpu,
  tensors: Parameters<typeof matmul>[1],
  options: MatmulOptions,
): Promise<Float32Array> {
  const pass = gpu.record();
  matmul(pass, tensors, options);
  pass.submit();
  return await gpu.read(tensors.out);
}

for (const layout of LAYOUTS) {
  Deno.test(`matmul() ${layout} is the product at awkward sizes`, () =>
    withGpu(async (gpu) => {
      for (const sizes of AWKWARD) {
        const [rows, columns, depth] = sizes;
        const shape = shapes(layout, sizes);
        const a = randn(rows * depth, 1);
        const b = randn(depth * columns, 2);
        const tensors = {
          a: gpu.tensor(a, shape.a),
          b: gpu.tensor(b, shape.b),
          out: gpu.tensor(randn(rows * columns, 3), [rows, columns]),
        };
        const { out } = reference.matmul(a, b, sizes, { layout });
        assertClose(await run(gpu, tensors, { layout }), out, rounding(depth), `${sizes}`);
        gpu.free(...Object.values(tensors));
      }
    }));

  Deno.test(`matmul() ${layout} scales the product, and adds to out with accumulate`, () =>
    withGpu(async (gpu) => {
      for (const sizes of [[36, 40, 20], [5, 7, 3]] as const) {
        const [rows, columns, depth] = sizes;
        const shape = shapes(layout, sizes);
        const a = randn(rows * depth, 1);
        const b = randn(depth * columns, 2);
        const before = randn(rows * columns, 3);
        const tensors = {
          a: gpu.tensor(a, shape.a),
          b: gpu.tensor(b, shape.b),
          out: gpu.tensor(before, [rows, columns]),
        };
        let residual: Float32Array = before;
        for (const scale of [1, -0.75]) {
          const { out } = reference.matmul(a, b, sizes, { layout, residual, scale });
          residual = await run(gpu, tensors, { layout, accumulate: true, scale });
          assertClose(residual, out, rounding(depth), `${sizes}, scale ${scale}`);
        }
        const { out } = reference.matmul(a, b, sizes, { layout, scale: 2.5 });
        const scaled = await run(gpu, tensors, { layout, scale: 2.5 });
        assertClose(scaled, out, rounding(2.5 ** 2 * depth), `${sizes}, scale 2.5`);
        gpu.free(...Object.values(tensors));
      }
    }));
}

for (const [activation, gelu] of [["gelu_new", geluNew], ["gelu", geluExact]] as const) {
  Deno.test(`matmul() adds bias, keeps the preactivation, applies ${activation}, adds the residual`, () =>
    withGpu(async (gpu) => {
      for (const sizes of [[35, 36, 24], [3, 40, 16], [11, 13, 5]] as const) {
        const [rows, columns, depth] = sizes;
        const host = {
          a: randn(rows * depth, 1),
          b: randn(depth * columns, 2),
          bias: randn(columns, 3),
          residual: randn(rows * columns, 4),
        };
        const tensors = {
          a: gpu.tensor(host.a, [rows, depth]),
          b: gpu.tensor(host.b, [depth, columns]),
          bias: gpu.tensor(host.bias),
          residual: gpu.tensor(host.residual, [rows, columns]),
          out: gpu.empty([rows, columns]),
          preactivation: gpu.empty([rows, columns]),
        };
        const expected = reference.matmul(host.a, host.b, sizes, { ...host, activation: gelu });
        // The derivative of both functions is at most 1.13, so rounding passes through them.
        const tolerance = { atol: 1.2 * rounding(depth).atol };
        const { preactivation } = tensors;
        assertClose(await run(gpu, tensors, { activation }), expected.out, tolerance, `${sizes}`);
        assertClose(await gpu.read(preactivation), expected.preactivation, tolerance, `${sizes}`);
        gpu.free(...Object.values(tensors));
      }
    }));
}

Deno.test("matmul() takes bias and residual one without the other", () =>
  withGpu(async (gpu) => {
    const sizes = [9, 36, 8] as const;
    const [rows, columns, depth] = sizes;
    const host = { a: randn(rows * depth, 1), b: randn(depth * columns, 2) };
    const extras = { bias: randn(columns, 3), residual: randn(rows * columns, 4) };
    const a = gpu.tensor(host.a, [rows, depth]);
    const b = gpu.tensor(host.b, [depth, columns]);
    const out = gpu.empty([rows, columns]);
    for (const name of ["bias", "residual"] as const) {
      const extra = gpu.tensor(extras[name]);
      const expected = reference.matmul(host.a, host.b, sizes, { [name]: extras[name] }).out;
      const actual = await run(gpu, { a, b, out, [name]: extra }, {});
      assertClose(actual, expected, rounding(depth), name);
      gpu.free(extra);
    }
    gpu.free(a, b, out);
  }));

/** A tensor of `wide` columns which holds `data` from column `first` on, and 9 elsewhere. */
function framed(
  gpu: Gpu,
  data: Float32Array,
  shape: readonly number[],
  { wide, first }: { wide: number; first: number },
): Tensor {
  const [rows = 1, width = 1] = shape;
  const host = new Float32Array(rows * wide).fill(9);
  for (let row = 0; row < rows; row++) {
    host.set(data.subarray(row * width, (row + 1) * width), row * wide + first);
  }
  return gpu.tensor(host, [rows, wide]);
}

for (const layout of LAYOUTS) {
  Deno.test(`matmul() ${layout} reads and writes views of columns`, () =>
    withGpu(async (gpu) => {
      const ofGpus: MatmulChoice[] = [{ family: "blocks" }, { family: "squares", side: 16 }];
      if (layout === "nt") ofGpus.push({ family: "strips" });
      for (
        const [sizes, wide, first, choices = [undefined]] of [
          [[36, 40, 20], 192, 64],
          [[36, 40, 20], 192, 100, [undefined, ...ofGpus]], // no multiple of 64, where bindings begin
          [[5, 7, 3], 75, 64],
          [[5, 7, 3], 75, 33],
        ] as [Sizes, number, number, (MatmulChoice | undefined)[]?][]
      ) {
        const frame = { wide, first };
        const [rows, columns, depth] = sizes;
        const shape = shapes(layout, sizes);
        const a = randn(rows * depth, 1);
        const b = randn(depth * columns, 2);
        const whole = {
          a: framed(gpu, a, shape.a, frame),
          b: framed(gpu, b, shape.b, frame),
          out: framed(gpu, randn(rows * columns, 3), [rows, columns], frame),
        };
        const views = {
          a: whole.a.columns(first, first + shape.a[1]!),
          b: whole.b.columns(first, first + shape.b[1]!),
          out: whole.out.columns(first, first + columns),
        };
        const { out } = reference.matmul(a, b, sizes, { layout });
        const inside = (column: number) => column >= first && column < first + columns;
        for (const choice of choices) {
          const result = await run(gpu, views, { layout, ...(choice && { choice }) });
          assertClose(result, out, rounding(depth), `${sizes}, ${choice?.family}`);
          const around = (await gpu.read(whole.out)).filter((_, i) => !inside(i % wide));
          assertEquals(around, new Float32Array(rows * (wide - columns)).fill(9));
        }
        gpu.free(...Object.values(whole));
      }
    }));
}

Deno.test("matmul() gives a row the same bits in a batch of any size", () =>
  withGpu(async (gpu) => {
    const [rows, columns, depth] = [70, 96, 192];
    for (const layout of ["nn", "nt"] as const) {
      const shape = shapes(layout, [rows, columns, depth]);
      const a = gpu.tensor(randn(rows * depth, 3), shape.a);
      const b = gpu.tensor(randn(depth * columns, 4), shape.b);
      const bias = gpu.tensor(randn(columns, 5));
      const out = gpu.empty([rows, columns]);
      const product = (count: number) =>
        run(gpu, { a: a.rows(0, count), b, bias, out: out.rows(0, count) }, {
          layout,
          activation: "gelu_new",
        });
      const all = await product(rows);
      for (const count of [1, 2, 8, 9, 16, 17, 32, 36, 64]) {
        assertEquals(
          await product(count),
          all.subarray(0, count * columns),
          `${layout}, ${count} rows`,
        );
      }
      gpu.free(a, b, bias, out);
    }
  }));

for (const layout of LAYOUTS) {
  Deno.test(`matmul() ${layout} gives the same bits in every way that can be chosen`, () =>
    withGpu(async (gpu) => {
      for (
        const sizes of [
          [4, 4, 4],
          [100, 128, 48],
          [132, 268, 52], // the last blocks are almost empty
          [layout === "tn" ? 4 : 3, 20, 300], // so are the last strip and the last part of its depth
        ] as const
      ) {
        const [rows, columns, depth] = sizes;
        const shape = shapes(layout, sizes);
        const bias = randn(columns, 3);
        const residual = randn(rows * columns, 4);
        const host = { a: randn(rows * depth, 1), b: randn(depth * columns, 2) };
        const tensors = {
          a: gpu.tensor(host.a, shape.a),
          b: gpu.tensor(host.b, shape.b),
          bias: gpu.tensor(bias),
          residual: gpu.tensor(residual, [rows, columns]),
          preactivation: gpu.empty([rows, columns]),
          out: gpu.empty([rows, columns]),
        };
        const { out } = reference.matmul(host.a, host.b, sizes, {
          layout,
          bias,
          residual,
          activation: geluNew,
        });
        const ways: MatmulChoice[] = [
          { family: "blocks" }, // not among the possible ones of software
          ...(layout === "nt" ? [{ family: "strips" } as const] : []), // neither
          ...[16, 8, 4].map((side) => ({ family: "squares" as const, side })),
          ...possibleChoices(gpu, layout, { rows, columns, depth }),
        ];
        const nothing = new Float32Array(rows * columns).fill(NaN);
        const [first, ...others] = await inTurn(ways, async (choice) => {
          for (const tensor of [tensors.out, tensors.preactivation]) gpu.write(tensor, nothing);
          const result = await run(gpu, tensors, { layout, choice, activation: "gelu_new" });
          return [...result, ...await gpu.read(tensors.preactivation)];
        });
        // The derivative of GELU is at most 1.13, so rounding passes through it.
        const tolerance = { atol: 1.2 * rounding(depth).atol };
        assertClose(first!.slice(0, rows * columns), out, tolerance, `${sizes}`);
        others.forEach((other, i) => assertEquals(other, first, `${sizes}, ${ways[i + 1].family}`));
        gpu.free(...Object.values(tensors));
      }
    }));
}

/** What `make` gives for each item, one after another. */
async function inTurn<T, R>(items: readonly T[], make: (item: T) => Promise<R>): Promise<R[]> {
  const results: R[] = [];
  for (const item of items) results.push(await make(item));
  return results;
}

Deno.test("matmul() refuses shapes and options that do not fit", () =>
  withGpu((gpu) => {
    const a = gpu.empty([4, 8]);
    const b = gpu.empty([8, 12]);
    const out = gpu.empty([4, 12]);
    const residual = gpu.empty([4, 24]).columns(0, 12);
    const pass = gpu.record();
    const refused: [Parameters<typeof matmul>[1], MatmulOptions][] = [
      [{ a, b, out }, { layout: "nt" }],
      [{ a, b, out }, { layout: "tn" }],
      [{ a, b: a, out }, {}],
      [{ a, b, out: a }, {}],
      [{ a, b, out, bias: a }, {}],
      [{ a, b, out, residual: b }, {}],
      [{ a, b, out, residual }, {}],
      [{ a, b, out, preactivation: b }, {}],
      [{ a, b, out, bias: b.rows(0, 1) }, { accumulate: true }],
      [{ a, b, out }, { accumulate: true, activation: "gelu" }],
      [{ a, b, out, bias: b.rows(0, 1) }, { scale: 2 }],
    ];
    for (const [tensors, options] of refused) {
      assertThrows(() => matmul(pass, tensors, options), ShapeError, "Cannot run matmul");
    }
    gpu.free(a, b, out, residual);
  }));
