/**
 * Thousands of broken files, as a stranger or a bad disk could make them: each is read or refused with a typed error
 * that names the file; nothing hangs, crashes, or is read from elsewhere.
 */

import { assert, assertStringIncludes } from "@std/assert";
import { Rng } from "../../train/rng.ts";
import { ModelFolderError, SafetensorsError } from "../../weights/errors.ts";
import { openSafetensors, parseSafetensorsHeader } from "../../weights/safetensors.ts";
import { parseShardIndex } from "../../weights/shard_index.ts";
import { openWeights } from "../../weights/weights.ts";
import { withFolder } from "../helpers/folder.ts";
import { mutateBytes, mutateJson } from "../helpers/mutate.ts";

const GOLDEN = await Deno.readFile("tests/fixtures/gpt2/model.safetensors");
const HEADER_END = 8 + Number(new DataView(GOLDEN.buffer).getBigUint64(0, true));
const HEADER = new TextDecoder().decode(GOLDEN.subarray(8, HEADER_END));

/** Longest that reading one small broken file may take, in ms; a loaded machine has stopped for seconds. */
const PATIENCE = 60_000;

/** Runs `read` and returns its typed error, if it has one; fails on any other error. */
function refusal(read: () => void, file: string): SafetensorsError | undefined {
  const started = performance.now();
  try {
    read();
    return undefined;
  } catch (error) {
    if (!(error instanceof SafetensorsError)) throw error;
    expectGoodMessage(error, file);
    return error;
  } finally {
    assert(performance.now() - started < PATIENCE);
  }
}

/** One readable sentence that names the file and, where it is one tensor's fault, the tensor. */
function expectGoodMessage(error: SafetensorsError | ModelFolderError, file: string): void {
  assertStringIncludes(error.message, file);
  assert(/^Cannot [a-z]/.test(error.message) && error.message.includes("; "), error.message);
  assert(error.message.length < 1000, `a message of ${error.message.length} characters`);
  if (error instanceof SafetensorsError && error.tensor !== undefined) {
    assertStringIncludes(error.message, JSON.stringify(error.tensor).slice(0, 99));
  }
}

/** Parses the beginning of a file, all but the golden's numbers. */
function parse(start: Uint8Array): void {
  const fileSize = start.length + GOLDEN.length - HEADER_END;
  const { tensors } = parseSafetensorsHeader(start, fileSize, "m.safetensors");
  // What is accepted describes numbers that are in the file, each byte of them once.
  let total = 0;
  for (const { byteOffset, byteLength } of tensors.values()) {
    assert(byteOffset >= 8 && byteOffset + byteLength <= fileSize);
    total += byteLength;
  }
  assert(total < fileSize);
}

/** The beginning of a file with this header. */
function startOf(header: string): Uint8Array<ArrayBuffer> {
  const json = new TextEncoder().encode(header);
  const bytes = new Uint8Array(8 + json.length);
  new DataView(bytes.buffer).setBigUint64(0, BigInt(json.length), true);
  bytes.set(json, 8);
  return bytes;
}

Deno.test("parseSafetensorsHeader() reads or refuses any bytes", () => {
  const rng = new Rng(1, "bytes");
  let refused = 0;
  for (let i = 0; i < 4000; i++) {
    const bytes = mutateBytes(GOLDEN.subarray(0, HEADER_END), rng);
    if (refusal(() => parse(bytes), "m.safetensors")) refused++;
  }
  assert(refused > 3000, `${refused} refused`);
});

Deno.test("parseSafetensorsHeader() reads or refuses any JSON, and names the tensor at fault", () => {
  const rng = new Rng(2, "json");
  const names = Object.keys(JSON.parse(HEADER));
  for (let i = 0; i < 1500; i++) {
    refusal(() => parse(startOf(mutateJson(HEADER, rng))), "m.safetensors");
    const name = names[1 + rng.int(names.length - 1)];
    const error = refusal(
      () => parse(startOf(mutateJson(HEADER, rng, [name]))),
      "m.safetensors",
    );
    if (error) assert(error.tensor !== undefined || /header|cut off|follow/.test(error.message));
  }
});

Deno.test("openSafetensors() and read() take no more memory than the file, whatever it says", () =>
  withFolder(async (folder) => {
    const rng = new Rng(3, "files");
    const path = `${folder}/m.safetensors`;
    for (let i = 0; i < 300; i++) {
      const bytes = i % 2 === 0
        ? mutateBytes(GOLDEN.subarray(0, HEADER_END + 640), rng)
        : mutateBytes(startOf(mutateJson(HEADER, rng)), rng);
      await Deno.writeFile(path, bytes);
      try {
        using file = await openSafetensors(path);
        for (const name of file.tensors.keys()) {
          const { length } = await file.read(name);
          assert(length <= bytes.length / 2);
        }
      } catch (error) {
        if (!(error instanceof SafetensorsError)) throw error;
        expectGoodMessage(error, path);
      }
    }
  }));

const SHARDED = "tests/fixtures/gpt2-sharded";
const INDEX = "model.safetensors.index.json";
const indexText = await Deno.readTextFile(`${SHARDED}/${INDEX}`);

Deno.test("parseShardIndex() reads or refuses any index, and gives bare names only", () => {
  const rng = new Rng(4, "index");
  for (let i = 0; i < 4000; i++) {
    const bytes = i % 2 === 0
      ? mutateBytes(new TextEncoder().encode(indexText), rng)
      : new TextEncoder().encode(mutateJson(indexText, rng));
    try {
      const files = new Set(parseShardIndex(bytes, INDEX).values());
      for (const file of files) assert(!/[/\\:\0]/.test(file) && file !== "..", file);
    } catch (error) {
      if (!(error instanceof ModelFolderError)) throw error;
      expectGoodMessage(error, INDEX);
    }
  }
});

Deno.test("openWeights() reads or refuses any index", () =>
  withFolder(async (folder) => {
    const rng = new Rng(5, "shards");
    const files = [1, 2, 3, 4].map((n) => `model-0000${n}-of-00004.safetensors`);
    for (const file of files) await Deno.copyFile(`${SHARDED}/${file}`, `${folder}/${file}`);
    files.push(INDEX);
    for (let i = 0; i < 500; i++) {
      const changed = mutateJson(indexText, rng, i % 5 === 0 ? [] : ["weight_map"]);
      await Deno.writeTextFile(`${folder}/${INDEX}`, changed);
      try {
        using weights = await openWeights(folder, files);
        for (const tensor of weights!.tensors.keys()) {
          assert(weights!.fileOf(tensor).path.startsWith(`${folder}/model-0000`));
        }
      } catch (error) {
        if (!(error instanceof ModelFolderError)) throw error;
        expectGoodMessage(error, INDEX);
      }
    }
  }));
