/** What the documents name exists: files, headings, tasks, flags, plots. */

import { assert, assertEquals } from "@std/assert";
import deno from "../deno.json" with { type: "json" };
import { drawPlots } from "./bench/plots.ts";
import { type Outcome, runProgram } from "./helpers/program.ts";

const ROOT = new URL("../", import.meta.url);
const TASKS = Object.keys(deno.tasks);

interface Document {
  /** Relative to the repository's root. */
  path: string;
  text: string;
}

function markdownIn(folder: string): Document[] {
  return [...Deno.readDirSync(new URL(folder, ROOT))]
    .filter(({ name }) => name.endsWith(".md"))
    .map(({ name }) => ({
      path: folder + name,
      text: Deno.readTextFileSync(new URL(folder + name, ROOT)),
    }));
}

const documents = [...markdownIn("./"), ...markdownIn("docs/"), ...markdownIn(".github/")];

/** Without blocks of code. */
function prose({ text }: Document): string {
  return text.replaceAll(/^```[^]*?^```/gm, "");
}

/** The anchors that GitHub gives headings. */
function anchorsOf(text: string): string[] {
  return [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading]) =>
    heading!.toLowerCase().replaceAll(/[^\p{L}\p{N} _-]/gu, "").replaceAll(" ", "-")
  );
}

function exists(path: string): boolean {
  try {
    Deno.statSync(new URL(path, ROOT));
    return true;
  } catch {
    return false;
  }
}

Deno.test("links in the documents lead to files and headings that exist", () => {
  const broken = documents.flatMap((document) => {
    const links = [...prose(document).matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link!);
    const local = links.filter((link) => !/^[a-z]+:/.test(link));
    return local.filter((link) => {
      const target = new URL(link, new URL(document.path, ROOT));
      const anchor = target.hash.slice(1);
      target.hash = "";
      if (!exists(target.href)) return true;
      return anchor !== "" && !anchorsOf(Deno.readTextFileSync(target)).includes(anchor);
    }).map((link) => `${document.path}: ${link}`);
  });
  assertEquals(broken, []);
});

Deno.test("pictures in the documents say what they show", () => {
  const mute = documents.flatMap(({ path, text }) =>
    [...text.matchAll(/!\[([^\]]*)\]\(([^)]*)\)/g)]
      .filter(([, words]) => words!.length < 20)
      .map(([, , picture]) => `${path}: ${picture}`)
  );
  assertEquals(mute, []);
});

Deno.test("files of the repository that the documents name exist", () => {
  const file =
    /(?<![\w/.-])(?:docs|examples|kernels|model|reward|tests|train|weights)\/[\w/-]+\.[a-z]+\b/g;
  const missing = documents.flatMap(({ path, text }) =>
    (text.match(file) ?? [])
      .filter((name) => !/\/x[._]/.test(name) && !exists(name)) // x stands for any name
      .map((name) => `${path}: ${name}`)
  );
  assertEquals(missing, []);
});

/** Commands in blocks of code, continued lines joined, comments left out. */
function commandsIn({ text }: Document): string[] {
  const blocks = [...text.matchAll(/^```[^\n]*\n([^]*?)^```/gm)].map(([, block]) => block!);
  const inline = [...text.matchAll(/`([^`\n]+)`/g)].map(([, code]) => code!);
  return [...blocks.flatMap((block) => block.replaceAll(/\\\n/g, " ").split("\n")), ...inline]
    .map((line) => line.replace(/\s#\s.*$/, ""));
}

/** A task's name and the flags that it is given: `deno task train --steps 5` names train and --steps. */
function taskCall(command: string): { task: string; flags: string[] } | undefined {
  const call = command.match(/^(?:\.\/denow|deno) task ([a-z-]+)(.*)$/);
  if (!call) return undefined;
  const [, task, rest] = call;
  return { task: task!, flags: rest!.match(/(?<=\s)--[a-z][\w-]*/g) ?? [] };
}

const calls = documents.flatMap((document) =>
  commandsIn(document).flatMap((command) => {
    const call = taskCall(command);
    return call ? [{ path: document.path, ...call }] : [];
  })
);

Deno.test("tasks in the documents exist", () => {
  const unknown = calls.filter(({ task }) => !TASKS.includes(task));
  assertEquals(unknown.map(({ path, task }) => `${path}: ${task}`), []);
  assert(calls.length > 20, "the commands were not found");
});

/** The flags that a task's help names, and what turns a setting off. */
async function flagsOf(task: string): Promise<string[]> {
  const { code, stdout }: Outcome = await runProgram(task as keyof typeof deno.tasks, ["--help"]);
  assertEquals(code, 0, `deno task ${task} --help`);
  const flags: string[] = stdout.match(/(?<![\w-])--[a-z][\w-]*/g) ?? [];
  return ["--help", ...flags, ...flags.map((flag) => flag.replace("--", "--no-"))];
}

Deno.test("flags in the documents exist", async () => {
  const programs = Object.entries(deno.tasks)
    .filter(([, command]) => / train\/\w+\.ts$/.test(command)).map(([task]) => task);
  const known = new Map<string, string[]>();
  for (const task of programs) known.set(task, await flagsOf(task));
  const unknown = calls.flatMap(({ path, task, flags }) =>
    flags.filter((flag) => known.has(task) && !known.get(task)!.includes(flag))
      .map((flag) => `${path}: deno task ${task} ${flag}`)
  );

  const ofAny = new Set([...known.values()].flat());
  const ofDeno = /^--(allow-[a-z]+|frozen|doc|lint|dry-run|check|no-check)$/;
  const mentioned = documents.flatMap((document) =>
    commandsIn(document)
      .filter((command) => /^--[a-z]/.test(command))
      .flatMap((command) => command.match(/(?<![\w-])--[a-z][\w-]*/g) ?? [])
      .filter((flag) => !ofAny.has(flag) && !ofDeno.test(flag))
      .map((flag) => `${document.path}: ${flag}`)
  );
  assertEquals([...unknown, ...mentioned], []);
});

Deno.test("the plots are drawn from the data beside them, and shown", async () => {
  for (const [name, svg] of await drawPlots()) {
    assert(documents.some(({ text }) => text.includes(`(plots/${name})`)), `${name} is not shown`);
    const kept = await Deno.readTextFile(new URL(`docs/plots/${name}`, ROOT));
    assert(kept === svg, `docs/plots/${name} is out of date; run tests/bench/plots.ts`);
  }
});
