/** A `@group(0) @binding(n) var<…> name: type` of a WGSL module. */
export interface WgslBinding {
  binding: number;
  name: string;
  access: "uniform" | "read" | "read_write";
  type: string;
}

/** What a test needs to know of a WGSL module, read from its text. */
export interface WgslModule {
  /** In the order of the text. */
  bindings: WgslBinding[];
  /** Fields of each struct, in order. */
  structs: Map<string, { name: string; type: string }[]>;
  /** Body of each function. */
  functions: Map<string, string>;
}

/** Reads the declarations of a module; it takes the module to be valid. */
export function parseWgsl(text: string): WgslModule {
  const code = text.replace(/\/\/.*|\/\*[^]*?\*\//g, "");

  const bindings = [...code.matchAll(
    /@group\(0\)\s*@binding\((\d+)\)\s*var<\s*(uniform|storage)\s*(?:,\s*(read_write|read)\s*)?>\s*(\w+)\s*:\s*([^;]+);/g,
  )].map(([, binding, space, access = "read", name, type]) => ({
    binding: Number(binding),
    name: name!,
    access: (space === "uniform" ? "uniform" : access) as WgslBinding["access"],
    type: type!.trim(),
  }));

  const structs = new Map([...code.matchAll(/\bstruct\s+(\w+)\s*\{([^}]*)\}/g)].map((
    [, name, fields],
  ) => [
    name!,
    [...fields!.matchAll(/(\w+)\s*:\s*([^,]+)/g)]
      .map(([, field, type]) => ({ name: field!, type: type!.trim() })),
  ]));

  const functions = new Map([...code.matchAll(/\bfn\s+(\w+)/g)].map((match) => [
    match[1]!,
    bodyAt(code, code.indexOf("{", match.index)),
  ]));
  return { bindings, structs, functions };
}

/** Names of the bindings that an entry point, or a function that it calls, mentions. */
export function mentionedBindings(module: WgslModule, entry: string): string[] {
  const words = new Set<string>(); // without members, such as the x of a vector
  const visit = (name: string) => {
    for (const [word] of (module.functions.get(name) ?? "").matchAll(/(?<!\.)\b[A-Za-z_]\w*/g)) {
      if (words.has(word)) continue;
      words.add(word);
      visit(word);
    }
  };
  visit(entry);
  return module.bindings.map(({ name }) => name).filter((name) => words.has(name));
}

/** The text from an opening brace to the one that closes it. */
function bodyAt(code: string, start: number): string {
  let depth = 0;
  for (let end = start; end < code.length; end++) {
    if (code[end] === "{") depth++;
    else if (code[end] === "}" && --depth === 0) return code.slice(start, end + 1);
  }
  throw new SyntaxError("Cannot read WGSL: a brace is not closed");
}
