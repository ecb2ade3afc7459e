import { assert, assertEquals } from "@std/assert";
import { attentionBackward, attentionForward } from "../../kernels/attention.ts";
import {
  attentionKind,
  type AttentionWay,
  parseAttentionKind,
} from "../../kernels/attention_choice.ts";
import { attentionDecode } from "../../kernels/attention_decode.ts";
import { matmul } from "../../kernels/matmul.ts";
import {
  describeChoice,
  kindOf,
  parseKind,
  possibleChoices,
  usualChoice,
} from "../../kernels/matmul_choice.ts";
import { dryWebGpu, Gpu } from "../../kernels/runtime/mod.ts";
import { describeTile, type Layout } from "../../kernels/matmul_tiles.ts";
import { tune } from "../../kernels/tune.ts";
import { assertClose, randn } from "../helpers/close.ts";
import { evenSequences } from "../helpers/sequences.ts";
import { withGpu } from "../helpers/gpu.ts";

/** A product large enough to be measured: 12.6 million operations. */
const [rows, columns, depth] = [64, 256, 384];

Deno.test("tune() chooses a possible way for each kind that was asked for, and leaves no memory taken", () =>
  withGpu(async (gpu) => {
    const a = gpu.tensor(randn(rows * depth, 1), [rows, depth]);
    const b = gpu.tensor(randn(depth * columns, 2), [depth, columns]);
    const out = gpu.empty([rows, columns]);
    const product = async () => {
      const pass = gpu.record();
      matmul(pass, { a, b, out });
      pass.submit();
      return await gpu.read(out);
    };
    const before = await product();
    const kind = "nn 64 x 256 x 384";
    assertEquals(gpu.tuning.undecided, [kind]);
    const { liveBytes, peakBytes } = gpu;
    const heard: number[][] = [];
    await tune(gpu, { measured: (done, of) => heard.push([done, of]) });
    assertEquals(heard, [[1, 1]]);
    assertEquals([gpu.liveBytes, gpu.peakBytes], [liveBytes, peakBytes]);
    assertEquals(gpu.tuning.undecided, []);
    const names = possibleChoices(gpu, "nn", { rows, columns, depth }).map(describeChoice);
    assert(names.includes(gpu.tuning.choices[kind]!), `${gpu.tuning.choices[kind]} of ${names}`);
    assertEquals(await product(), before); // whatever was chosen
    gpu.free(a, b, out);
  }));

Deno.test("matmul() computes as the tuning says, and as usual where that is impossible", () =>
  withGpu(async (gpu) => {
    const a = gpu.empty([rows, depth]);
    const b = gpu.empty([depth, columns]);
    const out = gpu.empty([rows, columns]);
    const label = async (choice: string) => {
      gpu.tuning.choose("nn 64 x 256 x 384", choice);
      let kernels: readonly string[] = [];
      const pass = gpu.record();
      matmul(pass, { a, b, out });
      const { submit } = gpu;
      gpu.submit = (buffer, submitted) => {
        kernels = [...submitted.kernels.keys()];
        submit.call(gpu, buffer, submitted);
      };
      pass.submit();
      gpu.submit = submit;
      await gpu.read(out);
      return kernels[0];
    };
    const usual = await label("no such way");
    for (const choice of possibleChoices(gpu, "nn", { rows, columns, depth })) {
      const name = await label(describeChoice(choice));
      if (choice.family === "registers") {
        assertEquals(name, `matmul nn ${describeTile(choice, 4 * gpu.subgroupSize)}`);
      } else {
        assertEquals(name, choice.family === "blocks" ? "matmul blocks" : "matmul");
      }
    }
    assertEquals(await label("registers 41"), usual);
    gpu.free(a, b, out);
  }));

Deno.test("a kind has what grows with the batch rounded up, and is read back from its text", () => {
  const kinds: [Parameters<typeof kindOf>, string][] = [
    [["nt", { rows: 1, columns: 768, depth: 3072 }], "nt 1 x 768 x 3072"],
    [["nt", { rows: 3, columns: 768, depth: 3072 }], "nt 4 x 768 x 3072"],
    [["nt", { rows: 5, columns: 768, depth: 3072 }], "nt 8 x 768 x 3072"],
    [["nn", { rows: 80, columns: 768, depth: 3072 }], "nn 80 x 768 x 3072"],
    [["nt", { rows: 129, columns: 4, depth: 8 }], "nt 256 x 4 x 8"],
    [["tn", { rows: 3072, columns: 768, depth: 77 }], "tn 3072 x 768 x 80"],
  ];
  for (const [args, kind] of kinds) {
    assertEquals(kindOf(...args), kind);
    const { layout, ...sizes } = parseKind(kind)!;
    assertEquals(kindOf(layout, sizes), kind);
  }
  for (const text of ["", "nt 8 x 8", "tt 8 x 8 x 8", "nn 8 x 8 x -8", "nn 8 x 8 x 8 x 8"]) {
    assertEquals(parseKind(text), undefined, text);
  }
});

Deno.test("tune() chooses how lanes share the rows of attention, and both ways give the same", () =>
  withGpu(async (gpu) => {
    const [B, T, heads, headSize] = [8, 32, 4, 16];
    const C = heads * headSize;
    const N = B * T;
    const qkv = gpu.tensor(randn(N * 3 * C, 1), [N, 3 * C]);
    const sequences = evenSequences(gpu, B, T);
    const rows = gpu.tensor(Array.from({ length: B }, (_, b) => b), [B], "u32");
    const first = gpu.tensor(Array(B).fill(0), [B], "u32");
    const [out, lse] = [gpu.empty([N, C]), gpu.empty([heads, N])];
    const [dout, delta] = [gpu.tensor(randn(N * C, 2), [N, C]), gpu.empty([heads, N])];
    const dqkv = gpu.empty([N, 3 * C]);
    const cache = gpu.tensor(randn(B * T * 2 * C, 3), [B, T, 2 * C]);
    const position = gpu.tensor([T - 1], [1], "u32");
    const token = { qkv: qkv.rows(0, B), out: gpu.empty([B, C]) };
    const attend = async (way?: AttentionWay) => {
      const options = { heads, ...(way && { way }) };
      const pass = gpu.record();
      attentionForward(pass, { qkv, sequences, out, lse }, options);
      attentionBackward(pass, { qkv, sequences, out, lse, dout, delta, dqkv }, options);
      attentionDecode(pass, { ...token, rows, cache, first, position }, options);
      pass.submit();
      return [await gpu.read(out), await gpu.read(dqkv), await gpu.read(token.out)];
    };
    await attend();
    const kinds = ["forward", "backward", "decode"].map((name) => `attention ${name} 32 x 32 x 16`);
    assertEquals(gpu.tuning.undecided, gpu.software && gpu.subgroupSize > 0 ? kinds : []);
    const { liveBytes } = gpu;
    await tune(gpu);
    assertEquals(gpu.liveBytes, liveBytes);
    for (const choice of Object.values(gpu.tuning.choices)) {
      assert(["subgroup", "workgroup"].includes(choice), choice);
    }
    if (gpu.subgroupSize > 0) {
      const [one, other] = [await attend("subgroup"), await attend("workgroup")];
      // Sums of 32 products of order one, in two orders.
      one.forEach((numbers, i) => assertClose(numbers, other[i]!, { atol: 1e-5, rtol: 1e-5 }));
    }
    gpu.free(
      qkv,
      sequences.bounds,
      rows,
      first,
      out,
      lse,
      dout,
      delta,
      dqkv,
      cache,
      position,
      token.out,
    );
  }));

Deno.test("a kind of attention is read back from its text", () => {
  const sizes = { groups: 96, T: 33, headSize: 24 };
  const kind = attentionKind("decode", sizes);
  assertEquals(kind, "attention decode 128 x 64 x 24");
  assertEquals(parseAttentionKind(kind), {
    operation: "decode",
    sizes: { groups: 128, T: 64, headSize: 24 },
  });
  for (const text of ["", "attention", "attention sideways 8 x 8 x 8", `${kind} x 2`]) {
    assertEquals(parseAttentionKind(text), undefined, text);
  }
});

const LIMITS = { bindingBytes: 2 ** 27, bufferBytes: 2 ** 31 };
const PACKED = { aStride: 0, bStride: 0, outStride: 0, aOffset: 0, bOffset: 0, outOffset: 0 };

Deno.test("what is usual on an adapter is possible there", async () => {
  for (const subgroupSize of [0, 4, 8, 16, 32, 64]) {
    for (const software of [false, true]) {
      using gpu = await Gpu.open({ webgpu: dryWebGpu(LIMITS, { software, subgroupSize }) });
      for (const layout of ["nn", "nt", "tn"] as const) {
        const ofHead = { rows: 4, columns: 50_256, depth: 768 };
        const few = (layout === "tn" ? [] : [1, 2, 3]).map((rows) => ({
          rows,
          columns: 768,
          depth: 768,
        }));
        const others = [4, 8, 16, 72, 80, 128, 512, 4096]
          .map((size) => ({ rows: size, columns: 768, depth: size }));
        for (const size of [...others, ...few, ofHead]) {
          const sizes = { ...size, scale: 1, ...PACKED };
          const names = possibleChoices(gpu, layout, sizes).map(describeChoice);
          const usual = describeChoice(usualChoice(gpu, layout, sizes));
          assert(names.includes(usual), `${usual} is none of ${names}`);
        }
      }
    }
  }
});

Deno.test("tiles are no higher than few rows ask for, and unrolled where their text stays short", async () => {
  using gpu = await Gpu.open({ webgpu: dryWebGpu(LIMITS, { software: true, subgroupSize: 8 }) });
  const tiles = (layout: Layout, rows: number, depth: number) =>
    possibleChoices(gpu, layout, { rows, columns: 768, depth }).map((choice) =>
      describeChoice(choice).replace("registers ", "")
    );
  assertEquals(tiles("nt", 1, 768), ["1", "1 unrolled"]);
  assertEquals(tiles("nt", 2, 768), ["2", "2 unrolled"]);
  assertEquals(tiles("nt", 3, 768), ["4", "4 unrolled"]);
  assertEquals(tiles("nt", 80, 768), [
    "80",
    "40",
    "40 unrolled",
    "32",
    "32 unrolled",
    "24",
    "24 unrolled",
  ]);
  assertEquals(tiles("nt", 80, 772), ["80", "40", "32", "24"]);
  assertEquals(tiles("tn", 768, 79), ["32", "32 unrolled", "64"]);
});

Deno.test("products of few rows are in strips on a GPU, the head's too, and only where B is transposed", async () => {
  for (const software of [false, true]) {
    using gpu = await Gpu.open({ webgpu: dryWebGpu(LIMITS, { software }) });
    for (const layout of ["nn", "nt", "tn"] as const) {
      for (const columns of [768, 50_256]) {
        for (const rows of [4, 8, 12, 32, 36]) {
          const sizes = { rows, columns, depth: 768, scale: 1, ...PACKED };
          const isOfStrips = !software && layout === "nt";
          const usual = usualChoice(gpu, layout, sizes).family;
          assertEquals(usual === "strips", isOfStrips && rows <= 8, `${layout} ${rows}, usual`);
          const families = possibleChoices(gpu, layout, sizes).map(({ family }) => family);
          assertEquals(families.includes("strips"), isOfStrips && rows <= 32, `${layout} ${rows}`);
        }
      }
    }
  }
});
