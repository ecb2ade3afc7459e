import { assertEquals, assertNotEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { SafetensorsError } from "../../weights/errors.ts";
import {
  openSafetensors,
  PIECE,
  type TensorToWrite,
  writeSafetensors,
} from "../../weights/safetensors.ts";
import { listTree, withFolder } from "../helpers/folder.ts";

/** Written by Python's safetensors 0.8. */
const GOLDENS = ["model", "gradients", "ppo_before"].map((name) =>
  `tests/fixtures/gpt2/${name}.safetensors`
);

for (const golden of GOLDENS) {
  Deno.test(`writeSafetensors() writes ${golden} byte by byte as Python does`, () =>
    withFolder(async (folder) => {
      using file = await openSafetensors(golden);
      const tensors = Array.from(file.tensors, ([name, { shape }]): TensorToWrite => ({
        name,
        shape,
        data: () => file.read(name),
      }));
      await writeSafetensors(`${folder}/copy`, tensors, { metadata: file.metadata });
      assertEquals(await Deno.readFile(`${folder}/copy`), await Deno.readFile(golden));
    }));
}

Deno.test("SafetensorsFile.read() reads many tensors at once, each its own", () =>
  withFolder(async (folder) => {
    const path = `${folder}/m.safetensors`;
    const tensors = Array.from({ length: 50 }, (_, i) => ({
      name: `t${i}`,
      shape: [i, 2],
      data: new Float32Array(2 * i).fill(i),
    }));
    await writeSafetensors(path, tensors);
    using file = await openSafetensors(path);
    const read = await Promise.all(tensors.toReversed().map(({ name }) => file.read(name)));
    assertEquals(read.toReversed(), tensors.map(({ data }) => data));
  }));

for (const dtype of ["F32", "BF16"] as const) {
  Deno.test(`readPieces() takes the memory of one piece for a ${dtype} tensor of several`, () =>
    withFolder(async (folder) => {
      const data = Float32Array.from({ length: 2.5 * PIECE }, (_, i) => i % 256);
      await writeSafetensors(`${folder}/m`, [{ name: "a", shape: [data.length], data }], { dtype });
      using file = await openSafetensors(`${folder}/m`);
      const buffers = new Set<ArrayBuffer>();
      const lengths = [];
      for await (const piece of file.readPieces("a")) {
        buffers.add(piece.buffer);
        lengths.push(piece.length);
        assertEquals(piece[300], 300 % 256);
      }
      assertEquals(lengths, [PIECE, PIECE, PIECE / 2]);
      assertEquals([buffers.size, [...buffers][0]!.byteLength], [1, 4 * PIECE]);
    }));
}

Deno.test("writeSafetensors() writes a view on a larger buffer, and keeps every bit", () =>
  withFolder(async (folder) => {
    const bits = Uint32Array.of(1, 0x7f800000, 0x80000000, 0x7fc00001, 0x00000001, 9); // inf, -0, NaN, denormal
    const data = new Float32Array(bits.buffer, 4, 4);
    await writeSafetensors(`${folder}/m`, [{ name: "a", shape: [4], data }]);
    using file = await openSafetensors(`${folder}/m`);
    assertEquals(new Uint32Array((await file.read("a")).buffer), bits.subarray(1, 5));
    assertEquals(file.metadata, { format: "pt" });
  }));

Deno.test("SafetensorsFile.read() refuses a tensor that is not there or holds no floats", () =>
  withFolder(async (folder) => {
    const header = '{"mask":{"dtype":"BOOL","shape":[4],"data_offsets":[0,4]}}      ';
    const bytes = new Uint8Array(8 + header.length + 4);
    bytes[0] = header.length;
    bytes.set(new TextEncoder().encode(header), 8);
    await Deno.writeFile(`${folder}/m`, bytes);

    using file = await openSafetensors(`${folder}/m`);
    await assertRejects(() => file.read("mask"), SafetensorsError, "dtype is BOOL; save the model");
    const error = await assertRejects(() => file.read("whole"), SafetensorsError);
    assertStringIncludes(error.message, "no such tensor");
    assertEquals([error.file, error.tensor], [`${folder}/m`, "whole"]);
  }));

Deno.test("SafetensorsFile.read() notices that the file has become shorter", () =>
  withFolder(async (folder) => {
    const path = `${folder}/m`;
    await writeSafetensors(path, [{ name: "a", shape: [4], data: new Float32Array(4) }]);
    using file = await openSafetensors(path);
    await Deno.truncate(path, (await Deno.stat(path)).size - 1);
    await assertRejects(() => file.read("a"), SafetensorsError, "become shorter");
  }));

Deno.test("openSafetensors() refuses the golden cut off at every kind of place", () =>
  withFolder(async (folder) => {
    const golden = await Deno.readFile(GOLDENS[0]!);
    const headerEnd = 8 + Number(new DataView(golden.buffer).getBigUint64(0, true));
    const places = [0, 1, 7, 8, 9, headerEnd - 1, headerEnd, headerEnd + 1, headerEnd + 576];
    for (const size of [...places, golden.length - 4, golden.length - 1]) {
      const path = `${folder}/${size}`;
      await Deno.writeFile(path, golden.subarray(0, size));
      await assertRejects(() => openSafetensors(path), SafetensorsError, "it is cut off");
    }
    await Deno.copyFile(GOLDENS[0]!, `${folder}/long`);
    await Deno.writeFile(`${folder}/long`, Uint8Array.of(0), { append: true });
    await assertRejects(
      () => openSafetensors(`${folder}/long`),
      SafetensorsError,
      "1 bytes follow",
    );
  }));

Deno.test("writeSafetensors() leaves nothing behind when it fails", () =>
  withFolder(async (folder) => {
    const path = `${folder}/m`;
    const a = { name: "a", shape: [2], data: new Float32Array(2) };
    const short = { ...a, name: "b", shape: [3] };
    const error = await assertRejects(() => writeSafetensors(path, [a, short]), SafetensorsError);
    assertStringIncludes(error.message, 'tensor "b"');
    assertStringIncludes(error.message, "it has 2 numbers; its shape [3] takes 3");
    assertEquals(await listTree(folder), []);

    await writeSafetensors(path, [a]);
    const before = await Deno.readFile(path);
    const lost = { ...a, name: "b", data: () => Promise.reject(new Error("device lost")) };
    await assertRejects(() => writeSafetensors(path, [a, lost]), Error, "device lost");
    assertEquals(await listTree(folder), ["m"]);
    assertEquals(await Deno.readFile(path), before);

    await writeSafetensors(path, [a, { ...a, name: "b" }]);
    assertNotEquals(await Deno.readFile(path), before);
  }));
