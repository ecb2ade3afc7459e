import { assertEquals } from "@std/assert";
import { type Access, Gpu, type Kernel, wgslName, wgslOf } from "../kernels/runtime/mod.ts";
import { allKernels } from "./helpers/kernels.ts";
import { mentionedBindings, parseWgsl } from "./helpers/wgsl.ts";

const ROOT = new URL("../", import.meta.url);

/** Each layer may import from itself and from those before it. */
const LAYERS = ["kernels", "weights", "model", "reward", "train", "mod.ts", "browser.ts"];

interface SourceFile {
  /** Relative to the repository's root, such as `model/gpt2.ts`. */
  path: string;
  text: string;
}

/** Files below a layer's folder, or the layer's one file. */
function sourceFiles(layer: string, extension: string): SourceFile[] {
  const { isFile } = Deno.lstatSync(new URL(layer, ROOT));
  if (isFile) {
    return layer.endsWith(extension)
      ? [{ path: layer, text: Deno.readTextFileSync(new URL(layer, ROOT)) }]
      : [];
  }
  return [...Deno.readDirSync(new URL(layer, ROOT))]
    .flatMap(({ name }) => sourceFiles(`${layer}/${name}`, extension));
}

const existing = [...Deno.readDirSync(ROOT)].map(({ name }) => name);
const sources = LAYERS.filter((layer) => existing.includes(layer))
  .flatMap((layer) => sourceFiles(layer, ".ts"));

/** Paths, relative to the root, that a file imports; packages are left out. */
function localImports({ path, text }: SourceFile): string[] {
  return [...text.matchAll(/\b(?:from|import)\s*\(?\s*"(\.[^"]+)"/g)]
    .map(([, specifier]) => new URL(specifier!, new URL(path, ROOT)).href.slice(ROOT.href.length));
}

Deno.test("every layer imports only from itself and the layers before it", () => {
  const layerOf = (path: string) => LAYERS.indexOf(path.split("/")[0]!);
  const violations = sources.flatMap((file) =>
    localImports(file)
      .filter((path) => layerOf(path) < 0 || layerOf(path) > layerOf(file.path))
      .map((path) => `${file.path} imports ${path}`)
  );
  assertEquals(violations, []);
});

/** What all programs begin with, and where they print. */
const SHARED_BY_PROGRAMS = ["train/program.ts", "train/terminal.ts"];

/** Programs are in train/, and in weights/ where they make embedded files. */
function isProgram({ path, text }: SourceFile): boolean {
  return SHARED_BY_PROGRAMS.includes(path) ||
    /^(train|weights)\//.test(path) && text.includes("import.meta.main");
}

Deno.test("only programs touch arguments, environment, exit and console", () => {
  const code = ({ text }: SourceFile) => text.replaceAll(/^ *\*.*$/gm, ""); // examples may
  const violations = sources
    .filter((file) => /\bDeno\.(args|env|exit)|\bconsole\./.test(code(file)) && !isProgram(file))
    .map(({ path }) => path);
  assertEquals(violations, []);
});

const kernels = await allKernels();

Deno.test("every WGSL file, and every entry point in it, is part of a kernel", () => {
  const orphans = sourceFiles("kernels", ".wgsl").flatMap(({ path, text }) => {
    const users = kernels.filter(({ code }) => code.includes(text));
    if (users.length === 0) return [path];
    return [...text.matchAll(/^@compute[^]*?\bfn\s+(\w+)/gm)]
      .filter(([, entry]) => !users.some((kernel) => kernel.entry === entry))
      .map(([, entry]) => `${path} ${entry}`);
  });
  assertEquals(orphans, []);
});

/** `logitsStride` -> `logits_stride`; sizes keep their capital letter. */
function fieldName(param: string): string {
  return param.replace(/(?<=[a-z0-9])[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

function wgslAccess(access: Access): "read" | "read_write" {
  return access.startsWith("read") ? "read" : "read_write";
}

for (const kernel of kernels) {
  Deno.test(`kernel ${kernel.label} declares in WGSL what its spec says`, () => {
    const module = parseWgsl(wgslOf(kernel));

    const params = module.bindings.filter(({ binding }) => binding === 0);
    assertEquals(params, [{ binding: 0, name: "params", access: "uniform", type: "Params" }]);
    assertEquals(
      module.structs.get("Params"),
      Object.entries(kernel.params).map(([name, type]) => ({ name: fieldName(name), type })),
    );

    const expected = Object.entries(kernel.bindings).map(([name, access], index) => ({
      binding: index + 1,
      name: wgslName(name),
      access: wgslAccess(access),
    }));
    const names = new Set(expected.map(({ name }) => name));
    const declared = module.bindings
      .filter(({ name }) => names.has(name))
      .map(({ binding, name, access }) => ({ binding, name, access }));
    assertEquals(declared, expected);

    // Other entry points of the module may use the same numbers for tensors of their own.
    const strays = mentionedBindings(module, kernel.entry)
      .filter((name) => name !== "params" && !names.has(name));
    assertEquals(strays, []);
  });
}

/** Messages of the compiler that are errors, and of the pipeline that is made from the module. */
async function compileErrors(gpu: Gpu, kernel: Kernel): Promise<string[]> {
  const module = gpu.device.createShaderModule({ label: kernel.label, code: wgslOf(kernel) });
  const { messages } = await module.getCompilationInfo();
  const errors = messages.filter(({ type }) => type === "error")
    .map(({ lineNum, linePos, message }) => `${kernel.label}:${lineNum}:${linePos} ${message}`);
  if (errors.length > 0) return errors;

  gpu.device.pushErrorScope("validation");
  gpu.pipelines.pipeline(kernel);
  const error = await gpu.device.popErrorScope();
  return error ? [`${kernel.label}: ${error.message}`] : [];
}

Deno.test("every kernel compiles in this runtime", async () => {
  using gpu = await Gpu.open();
  const errors: string[] = [];
  for (const kernel of kernels) {
    if (kernel.subgroups && gpu.subgroupSize === 0) continue;
    errors.push(...await compileErrors(gpu, kernel));
  }
  assertEquals(errors, []);
});
