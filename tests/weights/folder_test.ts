import { assertEquals, assertRejects, assertStringIncludes } from "@std/assert";
import { ModelFolderError, SafetensorsError } from "../../weights/errors.ts";
import { openModelFolder } from "../../weights/folder.ts";
import { withFolder } from "../helpers/folder.ts";

const GOLDEN = "tests/fixtures/gpt2";

/** A copy of the golden's configuration and weights that a test may break. */
async function copyGolden(folder: string): Promise<void> {
  for (const name of ["config.json", "model.safetensors"]) {
    await Deno.copyFile(`${GOLDEN}/${name}`, `${folder}/${name}`);
  }
}

/** Asserts that the folder is refused in one sentence that includes all of `says`. */
async function assertRefused(folder: string, ...says: string[]): Promise<void> {
  const error = await assertRejects(() => openModelFolder(folder), ModelFolderError);
  for (const text of ["Cannot ", "; ", folder, ...says]) assertStringIncludes(error.message, text);
  assertStringIncludes(error.path, folder);
}

Deno.test("openModelFolder() gives configuration, tensors and files", async () => {
  using folder = await openModelFolder(GOLDEN);
  assertEquals((folder.config as { n_embd: number }).n_embd, 48);
  assertEquals(folder.tensors.get("transformer.wte.weight")?.shape, [512, 48]);
  assertEquals(folder.files.filter((name) => name.startsWith("tokenizer")), [
    "tokenizer.json",
    "tokenizer_config.json",
  ]);
  const bias = await folder.readTensor("transformer.ln_f.bias", [48]);
  assertEquals(bias.length, 48);
  assertEquals(
    await folder.readFile("generation_config.json"),
    await Deno.readFile(`${GOLDEN}/generation_config.json`),
  );
});

Deno.test("ModelFolder.readTensor() refuses a missing tensor and a wrong shape", async () => {
  using folder = await openModelFolder(GOLDEN);
  await assertRejects(
    () => folder.readTensor("transformer.h.3.ln_1.bias", [48]),
    ModelFolderError,
    'it has no tensor "transformer.h.3.ln_1.bias"; ',
  );
  await assertRejects(
    () => folder.readTensor("transformer.wte.weight", [48, 512]),
    ModelFolderError,
    "has the shape [512,48], config.json makes it [48,512]; ",
  );
});

Deno.test("ModelFolder.readFile() refuses a missing file", async () => {
  using folder = await openModelFolder(GOLDEN);
  await assertRejects(
    () => folder.readFile("vocab.json"),
    ModelFolderError,
    "vocab.json is missing",
  );
});

Deno.test("openModelFolder() refuses a missing folder", () =>
  withFolder((folder) => assertRefused(`${folder}/nowhere`, "no such folder")));

Deno.test("openModelFolder() refuses a file", () =>
  withFolder(async (folder) => {
    await copyGolden(folder);
    await assertRefused(`${folder}/config.json`, "it is a file");
  }));

Deno.test("openModelFolder() refuses an empty folder and one without config.json", () =>
  withFolder(async (folder) => {
    await assertRefused(folder, "config.json is missing");
    await copyGolden(folder);
    await Deno.remove(`${folder}/config.json`);
    await assertRefused(folder, "config.json is missing");
  }));

Deno.test("openModelFolder() says where config.json is broken", () =>
  withFolder(async (folder) => {
    await copyGolden(folder);
    const whole = await Deno.readTextFile(`${folder}/config.json`);
    await Deno.writeTextFile(`${folder}/config.json`, whole.slice(0, 40));
    await assertRefused(
      folder,
      "config.json: line 3, column 2: the text ends where a key should be",
    );
    await Deno.writeTextFile(`${folder}/config.json`, "");
    await assertRefused(folder, "line 1, column 1");
    await Deno.writeTextFile(`${folder}/config.json`, '{"n_head": 2,\n "n_head": 3}');
    await assertRefused(folder, 'line 2, column 2: the key "n_head" appears twice');
    await Deno.writeFile(`${folder}/config.json`, Uint8Array.of(0xff, 0xfe, 0x7b));
    await assertRefused(folder, "not UTF-8");
  }));

Deno.test("openModelFolder() refuses a folder without weights, and says what it has instead", () =>
  withFolder(async (folder) => {
    await copyGolden(folder);
    await Deno.remove(`${folder}/model.safetensors`);
    await assertRefused(folder, "model.safetensors is missing; ");
    await Deno.writeTextFile(`${folder}/pytorch_model.bin`, "");
    await assertRefused(folder, "pytorch_model.bin", "safe_serialization");
  }));

Deno.test("openModelFolder() refuses weights that are cut off", () =>
  withFolder(async (folder) => {
    await copyGolden(folder);
    await Deno.truncate(`${folder}/model.safetensors`, 100_000);
    const error = await assertRejects(() => openModelFolder(folder), SafetensorsError, "cut off");
    assertEquals(error.file, `${folder}/model.safetensors`);
  }));
