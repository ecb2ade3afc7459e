import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { type Outcome, outcomeOf } from "./helpers/program.ts";

const DENOW = new URL("../denow", import.meta.url).pathname;
const PINNED = "2.9.6";

/** A folder at the head of PATH for stand-ins of programs, and an empty cache. */
interface Machine {
  programs: string;
  cache: string;
}

/** Runs a test on a made-up machine that has the system's programs, but no deno that works. */
async function onFreshMachine(test: (machine: Machine) => Promise<void>): Promise<void> {
  const folder = await Deno.makeTempDir();
  try {
    const machine = { programs: `${folder}/bin`, cache: `${folder}/cache` };
    await Deno.mkdir(machine.programs);
    await addProgram(machine, "deno", "exit 1");
    await test(machine);
  } finally {
    await Deno.remove(folder, { recursive: true });
  }
}

/** Puts a shell script on the machine's PATH. */
async function addProgram({ programs }: Machine, name: string, script: string): Promise<void> {
  await Deno.writeTextFile(`${programs}/${name}`, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
}

async function denow(
  args: string[],
  { machine, cwd, env: more }: {
    machine?: Machine;
    cwd?: string;
    env?: Record<string, string>;
  } = {},
): Promise<Outcome> {
  const env = machine
    ? { PATH: `${machine.programs}:/usr/bin:/bin`, XDG_CACHE_HOME: machine.cache }
    : {};
  const { signal: _, ...outcome } = await outcomeOf(DENOW, {
    args,
    env: { ...env, ...more, NO_COLOR: "1" },
    ...(cwd ? { cwd } : {}),
  });
  return outcome;
}

/** A script for an npm whose package holds the Deno that runs this test. */
const NPM = `
while [ "$1" != --prefix ]; do shift; done
mkdir -p "$2/node_modules/@deno/some-platform"
ln -s "${Deno.execPath()}" "$2/node_modules/@deno/some-platform/deno"`;

const SHOW = ["eval", "console.log(JSON.stringify(Deno.args)); Deno.exit(7)"];

Deno.test("denow passes arguments and exit status on", async () => {
  const { code, stdout } = await denow([...SHOW, "two words", "", "$HOME 'x' \"y\" *"]);
  assertEquals(JSON.parse(stdout), ["two words", "", "$HOME 'x' \"y\" *"]);
  assertEquals(code, 7);
});

Deno.test("denow runs the tasks of its own folder from any folder", async () => {
  const cwd = await Deno.makeTempDir();
  const { code, stderr } = await denow(["task", "test", "no-such-test"], { cwd });
  await Deno.remove(cwd);
  assertEquals(code, 1);
  assertStringIncludes(stderr, "Cannot run tests: no test file has no-such-test in its path");
});

Deno.test("denow leaves a driver alone that was named", async () => {
  const show = "console.log(Deno.env.get('VK_DRIVER_FILES'), Deno.env.get('VK_ICD_FILENAMES'))";
  const { stdout, stderr } = await denow(["eval", show], {
    env: { VK_DRIVER_FILES: "/some/icd.json", VK_ICD_FILENAMES: "" },
  });
  assertEquals({ stdout, stderr }, { stdout: "/some/icd.json \n", stderr: "" });
});

Deno.test("denow gets the pinned Deno by npm, once", () =>
  onFreshMachine(async (machine) => {
    await addProgram(machine, "npm", NPM);
    const first = await denow([...SHOW, "x"], { machine });
    assertEquals([first.code, first.stdout], [7, '["x"]\n']);
    assertStringIncludes(first.stderr, `getting Deno ${PINNED}`);

    await addProgram(machine, "npm", "exit 1");
    const second = await denow([...SHOW, "x"], { machine });
    assertEquals(second, { code: 7, stdout: '["x"]\n', stderr: "" });
  }));

Deno.test("denow does not use a Deno that is too old or too new", () =>
  onFreshMachine(async (machine) => {
    await addProgram(machine, "npm", NPM);
    for (const version of ["1.46.3", "2.8.0", "3.0.0", "nonsense"]) {
      await addProgram(machine, "deno", `echo "deno ${version} (stable)"`);
      assertEquals((await denow([...SHOW, "x"], { machine })).stdout, '["x"]\n', version);
    }
    await addProgram(machine, "deno", `echo "deno 2.10.1 (stable)"`);
    assertStringIncludes((await denow([...SHOW, "x"], { machine })).stdout, "2.10.1");
  }));

Deno.test("denow says what to do when the download fails, and leaves nothing behind", () =>
  onFreshMachine(async (machine) => {
    await addProgram(machine, "npm", `${NPM}\nexit 1`);
    const { code, stderr } = await denow(SHOW, { machine });
    assertEquals(code, 1);
    assertStringIncludes(stderr, "install Deno from https://deno.com");
    assertEquals([...Deno.readDirSync(`${machine.cache}/kl-guard`)], []);
  }));

Deno.test("denow adds less than 0.2 s", async () => {
  const shortest = async (program: string) => {
    let shortest = Infinity;
    for (let i = 0; i < 5; i++) {
      const start = performance.now();
      await new Deno.Command(program, { args: ["--version"] }).output();
      shortest = Math.min(shortest, performance.now() - start);
    }
    return shortest;
  };
  const added = await shortest(DENOW) - await shortest("deno");
  assert(added < 200, `added ${added.toFixed(0)} ms`);
});
