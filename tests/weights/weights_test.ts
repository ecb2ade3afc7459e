import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { ModelFolderError, SafetensorsError } from "../../weights/errors.ts";
import { openSafetensors, PIECE, writeSafetensors } from "../../weights/safetensors.ts";
import { openWeights, type Weights, writeWeights } from "../../weights/weights.ts";
import { listTree, withFolder } from "../helpers/folder.ts";

const SHARDED = "tests/fixtures/gpt2-sharded";
const INDEX = "model.safetensors.index.json";
const shard = (n: number) => `model-0000${n}-of-00004.safetensors`;

/** Opens the weights of a folder that has some. */
async function open(folder: string): Promise<Weights> {
  const files = await listTree(folder);
  const weights = await openWeights(folder, files);
  if (weights === undefined) throw new Error(`no weights in ${folder}`);
  return weights;
}

Deno.test("openWeights() finds every tensor of a sharded model", async () => {
  using weights = await open(SHARDED);
  using whole = await openSafetensors("tests/fixtures/gpt2/model.safetensors");
  assertEquals([...weights.tensors.keys()].sort(), [...whole.tensors.keys()].sort());
  assertEquals(weights.path, `${SHARDED}/${INDEX}`);
  assertEquals(weights.fileOf("transformer.h.1.mlp.c_fc.bias").path, `${SHARDED}/${shard(3)}`);
});

Deno.test("openWeights() prefers one file, as transformers does, and knows where there is none", () =>
  withFolder(async (folder) => {
    assertEquals(await openWeights(folder, await listTree(folder)), undefined);
    await writeSafetensors(`${folder}/model.safetensors`, [
      { name: "a", shape: [1], data: Float32Array.of(1) },
    ]);
    await Deno.writeTextFile(`${folder}/${INDEX}`, "{}");
    using weights = await open(folder);
    assertEquals([...weights.tensors.keys()], ["a"]);
  }));

/** Copies the sharded golden, with its index changed. */
async function copySharded(
  folder: string,
  change: (map: Record<string, unknown>) => unknown = (map) => ({ weight_map: map }),
): Promise<void> {
  for (const n of [1, 2, 3, 4]) {
    await Deno.copyFile(`${SHARDED}/${shard(n)}`, `${folder}/${shard(n)}`);
  }
  const { weight_map } = JSON.parse(await Deno.readTextFile(`${SHARDED}/${INDEX}`));
  await Deno.writeTextFile(`${folder}/${INDEX}`, JSON.stringify(change(weight_map)));
}

const WTE = "transformer.wte.weight";
const FOREIGN = [
  "../model-00001-of-00004.safetensors",
  "sub/model.safetensors",
  "/etc/model.safetensors",
  "..\\model.safetensors",
  "C:model.safetensors",
  "model.safetensors\0",
  "..",
  "",
  "pytorch_model.bin",
  7,
  null,
  ["model.safetensors"],
];
for (const name of FOREIGN) {
  Deno.test(`openWeights() reads nothing from ${JSON.stringify(name)}`, () =>
    withFolder(async (folder) => {
      await copySharded(folder, (map) => ({ weight_map: { ...map, [WTE]: name } }));
      const error = await assertRejects(() => open(folder), ModelFolderError);
      assertStringIncludes(error.message, `Cannot use ${folder}/${INDEX}: tensor "${WTE}" is in `);
      assertStringIncludes(error.message, "no name of a safetensors file beside it; ");
    }));
}

const BROKEN: {
  what: string;
  change: (map: Record<string, unknown>) => unknown;
  says: string;
}[] = [
  { what: "that is a list", change: () => [], says: "it has no object weight_map" },
  { what: "without a map", change: () => ({ metadata: {} }), says: "it has no object weight_map" },
  {
    what: "whose map is a list",
    change: () => ({ weight_map: ["a"] }),
    says: "it has no object weight_map",
  },
  {
    what: "that names a shard which is missing",
    change: (map) => ({ weight_map: { ...map, [WTE]: "model-00005-of-00005.safetensors" } }),
    says: `tensor "${WTE}" is in model-00005-of-00005.safetensors, which is missing`,
  },
  {
    what: "that names the wrong shard",
    change: (map) => ({ weight_map: { ...map, [WTE]: shard(2) } }),
    says: `tensor "${WTE}" is in ${shard(1)}, and it says ${shard(2)}`,
  },
  {
    what: "with a tensor that no shard has",
    change: (map) => ({ weight_map: { ...map, extra: shard(2) } }),
    says: `tensor "extra" is not in ${shard(2)}, as it says`,
  },
  {
    what: "that leaves a tensor out",
    change: ({ [WTE]: _left, ...map }) => ({ weight_map: map }),
    says: `tensor "${WTE}" is in ${shard(1)}, which it does not say`,
  },
];
for (const { what, change, says } of BROKEN) {
  Deno.test(`openWeights() refuses an index ${what}`, () =>
    withFolder(async (folder) => {
      await copySharded(folder, change);
      const error = await assertRejects(() => open(folder), ModelFolderError);
      assertStringIncludes(error.message, `Cannot use ${folder}/${INDEX}: ${says}`);
      assertEquals(error.path, `${folder}/${INDEX}`);
    }));
}

Deno.test("openWeights() refuses an index that is not JSON or names a tensor twice", () =>
  withFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/${INDEX}`, '{"weight_map": ');
    await assertRejects(() => open(folder), ModelFolderError, "line 1, column 16: the text ends");
    await Deno.writeTextFile(`${folder}/${INDEX}`, '{"weight_map": {"a": "x", "a": "y"}}');
    await assertRejects(() => open(folder), ModelFolderError, 'the key "a" appears twice');
  }));

Deno.test("openWeights() refuses a tensor that is in two shards", () =>
  withFolder(async (folder) => {
    await copySharded(folder);
    const bias = "transformer.ln_f.bias";
    const tensors = [];
    {
      using file = await openSafetensors(`${folder}/${shard(3)}`);
      for (const [name, { shape }] of file.tensors) {
        tensors.push({ name, shape, data: await file.read(name) });
      }
    }
    tensors.push({ name: bias, shape: [48], data: new Float32Array(48) });
    await writeSafetensors(`${folder}/${shard(3)}`, tensors);
    await assertRejects(
      () => open(folder),
      ModelFolderError,
      `tensor "${bias}" is in ${shard(3)}, and it says ${shard(4)}`,
    );
  }));

Deno.test("openWeights() names the shard that breaks the format", () =>
  withFolder(async (folder) => {
    await copySharded(folder);
    await Deno.truncate(`${folder}/${shard(3)}`, 5000);
    const error = await assertRejects(() => open(folder), SafetensorsError, "cut off");
    assertEquals(error.file, `${folder}/${shard(3)}`);
  }));

Deno.test({
  name: "openWeights() follows links to files, as the Hub's cache has them, and to nothing else",
  ignore: Deno.build.os === "windows",
  fn: () =>
    withFolder(async (folder) => {
      const target = await Deno.realPath("tests/fixtures/gpt2/model.safetensors");
      await Deno.symlink(target, `${folder}/model.safetensors`);
      (await open(folder))[Symbol.dispose]();
      await Deno.remove(`${folder}/model.safetensors`);
      await Deno.symlink("/dev/zero", `${folder}/model.safetensors`); // without an end
      await assertRejects(() => open(folder), ModelFolderError, "a pipe or a device");
      await Deno.remove(`${folder}/model.safetensors`);
      await new Deno.Command("mkfifo", { args: [`${folder}/model.safetensors`] }).output();
      await assertRejects(() => open(folder), ModelFolderError, "a pipe or a device"); // at once
    }),
});

/** `count` tensors called t0, t1, … of ten numbers each. */
const tens = (count: number) =>
  Array.from({ length: count }, (_, i) => ({
    name: `t${i}`,
    shape: [10],
    data: new Float32Array(10).fill(i),
  }));

Deno.test("writeWeights() fills shards up to the limit and no further", () =>
  withFolder(async (folder) => {
    await writeWeights(folder, tens(5), { maxShardBytes: 80 });
    using weights = await open(folder);
    assertEquals(
      Array.from({ length: 5 }, (_, i) => weights.fileOf(`t${i}`).path.match(/-0000(\d)-of/)![1]),
      ["1", "1", "2", "2", "3"],
    );
    assertEquals(await weights.fileOf("t3").read("t3"), new Float32Array(10).fill(3));
    const { metadata } = JSON.parse(await Deno.readTextFile(`${folder}/${INDEX}`));
    assertEquals(metadata, { total_parameters: 50, total_size: 200 });
  }));

Deno.test("writeWeights() gives a tensor beyond the limit a shard of its own", () =>
  withFolder(async (folder) => {
    await writeWeights(folder, tens(3), { maxShardBytes: 39 });
    assertEquals((await listTree(folder)).length, 3 + 1);
    (await open(folder))[Symbol.dispose]();
  }));

Deno.test("writeWeights() writes 16-bit numbers, larger than a piece, and refuses those too large", () =>
  withFolder(async (folder) => {
    const data = Float32Array.from({ length: PIECE + 3 }, (_, i) => i % 2048); // exact in a half
    const wide = { name: "wide", shape: [PIECE + 3], data };
    await writeWeights(folder, [wide, { name: "a", shape: [1], data: Float32Array.of(1 / 3) }], {
      dtype: "F16",
    });
    {
      using file = await openSafetensors(`${folder}/model.safetensors`);
      assertEquals(file.tensors.get("wide")?.dtype, "F16");
      const read = await file.read("wide");
      assertEquals(read.findIndex((x, i) => x !== data[i]), -1);
      assertEquals(await file.read("a"), Float32Array.of(0.333251953125));
    }
    const large = { name: "large", shape: [2], data: Float32Array.of(1, 7e4) };
    const error = await assertRejects(
      () => writeWeights(folder, [large], { dtype: "F16" }),
      SafetensorsError,
    );
    assertEquals(
      error.message,
      `Cannot write tensor "large" to ${folder}/model.safetensors: 70000 is too large for F16; save as float32`,
    );
    await writeWeights(folder, [large], { dtype: "BF16" });
  }));
