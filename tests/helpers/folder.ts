/** Runs a test with an empty temporary folder, which is gone afterwards. */
export async function withFolder(test: (folder: string) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir({ prefix: "kl-guard-" });
  try {
    await test(folder);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Paths of all files and empty folders under `folder`, hidden ones too, sorted. */
export async function listTree(folder: string): Promise<string[]> {
  const paths = [];
  for await (const { name, isDirectory } of Deno.readDir(folder)) {
    const inside = isDirectory ? await listTree(`${folder}/${name}`) : [];
    if (inside.length === 0) paths.push(name);
    else paths.push(...inside.map((path) => `${name}/${path}`));
  }
  return paths.sort();
}
