import { assertEquals, assertRejects } from "@std/assert";
import { ParameterLayout, type ParameterSpec } from "../../model/params.ts";
import { type CheckpointNames, readParameters, storedTensors } from "../../model/stored.ts";
import { ModelFolderError } from "../../weights/errors.ts";
import { openModelFolder } from "../../weights/folder.ts";
import { openSafetensors, writeSafetensors } from "../../weights/safetensors.ts";
import { writeWeights } from "../../weights/weights.ts";
import { withFolder } from "../helpers/folder.ts";
import { withGpu } from "../helpers/gpu.ts";

/** A matrix (5, 2) from parts (2, 3) transposed and (2, 2), a bias (3) from parts, and a plain head. */
const SPECS: ParameterSpec[] = [
  {
    name: "fused.weight",
    shape: [5, 2],
    stored: [
      { name: "one.weight", shape: [2, 3], transposed: true },
      { name: "two.weight", shape: [2, 2] },
    ],
  },
  {
    name: "fused.bias",
    shape: [3],
    stored: [{ name: "one.bias", shape: [2] }, { name: "two.bias", shape: [1] }],
  },
  { name: "head.weight", shape: [1, 2] },
];

const NAMES: CheckpointNames = { prefix: "trunk.", heads: /^head\./ };

const STORED: [string, number[], number[]][] = [
  ["head.weight", [1, 2], [8, 9]],
  ["trunk.one.bias", [2], [5, 6]],
  ["trunk.one.weight", [2, 3], [0, 10, 20, 1, 11, 21]],
  ["trunk.two.bias", [1], [7]],
  ["trunk.two.weight", [2, 2], [30, 40, 31, 41]],
];

async function writeFolder(folder: string, tensors: typeof STORED): Promise<void> {
  await Deno.writeTextFile(`${folder}/config.json`, "{}");
  await writeSafetensors(
    `${folder}/model.safetensors`,
    tensors.map(([name, shape, data]) => ({ name, shape, data: Float32Array.from(data) })),
  );
}

for (
  const { what, tensors } of [
    { what: "with the trunk's prefix", tensors: STORED },
    {
      what: "of a trunk alone",
      tensors: STORED.map((
        [name, ...rest],
      ) => [name.replace("trunk.", ""), ...rest] as typeof STORED[0]),
    },
  ]
) {
  Deno.test(`readParameters() transposes and joins the tensors of a file ${what}, and storedTensors() undoes it`, () =>
    withGpu((gpu) =>
      withFolder(async (path) => {
        await writeFolder(path, tensors);
        const values = new ParameterLayout(SPECS, gpu.bindingBytes).allocate(gpu, "values");
        {
          using folder = await openModelFolder(path);
          await readParameters(folder, { gpu, values, names: NAMES, kind: "a test" });
        }
        const read = async (name: string) => Array.from(await gpu.read(values.get(name)));
        assertEquals(await read("fused.weight"), [0, 1, 10, 11, 20, 21, 30, 40, 31, 41]);
        assertEquals(await read("fused.bias"), [5, 6, 7]);
        assertEquals(await read("head.weight"), [8, 9]);

        await writeWeights(path, storedTensors({ gpu, values, names: NAMES }));
        using file = await openSafetensors(`${path}/model.safetensors`);
        assertEquals([...file.tensors.keys()], STORED.map(([name]) => name));
        for (const [name, shape, data] of STORED) {
          assertEquals(file.tensors.get(name)?.shape, shape);
          assertEquals(Array.from(await file.read(name)), data);
        }
        values.free(gpu);
      })
    ));
}

Deno.test("readParameters() names a part that is missing, misshapen or unknown", () =>
  withGpu((gpu) =>
    withFolder(async (path) => {
      const values = new ParameterLayout(SPECS, gpu.bindingBytes).allocate(gpu, "values");
      const refused = async (tensors: typeof STORED, says: string) => {
        await writeFolder(path, tensors);
        using folder = await openModelFolder(path);
        const options = { gpu, values, names: NAMES, kind: "a test" };
        await assertRejects(() => readParameters(folder, options), ModelFolderError, says);
      };
      await refused(
        STORED.filter(([name]) => name !== "trunk.two.bias"),
        'no tensor "trunk.two.bias"',
      );
      await refused(
        STORED.map(([name, shape, data]) => [
          name,
          name === "trunk.one.weight" ? [3, 2] : shape,
          data,
        ]),
        'tensor "trunk.one.weight" has the shape [3,2]',
      );
      await refused([...STORED, ["trunk.three", [1], [0]]], '"trunk.three" is not part of a test');
      values.free(gpu);
    })
  ));
