/**
 * denow on a Debian without a Vulkan driver. The apt-get and dpkg-deb are real, and so are the packages, which are made here;
 * the machine is this one, seen from a mount namespace in which no driver is installed.
 */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { dirname } from "node:path";

const DENOW = new URL("../denow", import.meta.url).pathname;
const LIBRARIES = "usr/lib/x86_64-linux-gnu";
const MANIFESTS = "usr/share/vulkan/icd.d";

interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

async function run(
  program: string,
  args: string[],
  env: Record<string, string> = {},
): Promise<Outcome> {
  const { code, stdout, stderr } = await new Deno.Command(program, { args, env }).output();
  const decoder = new TextDecoder();
  return { code, stdout: decoder.decode(stdout), stderr: decoder.decode(stderr) };
}

/** Whether this is a Debian on which a process may have a mount namespace to itself. */
async function canTest(): Promise<boolean> {
  try {
    const needs = "which apt-get dpkg-deb && ls /usr/share/keyrings/debian-archive-keyring.gpg";
    return (await run("unshare", ["--map-root-user", "--mount", "sh", "-c", needs])).code === 0;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

async function write(path: string, text: string): Promise<void> {
  await Deno.mkdir(dirname(path), { recursive: true });
  await Deno.writeTextFile(path, text);
}

async function sha256(bytes: Uint8Array<ArrayBuffer>): Promise<string> {
  return new Uint8Array(await crypto.subtle.digest("SHA-256", bytes)).toHex();
}

/** A package for apt: its name, its version, and the text of its files by path. */
interface Package {
  name: string;
  version: string;
  files: Record<string, string>;
}

/** Adds a suite with packages to an archive that apt can read from `folder`. */
async function addSuite(folder: string, suite: string, packages: Package[]): Promise<void> {
  const architecture = (await run("dpkg", ["--print-architecture"])).stdout.trim();
  let index = "";
  for (const { name, version, files } of packages) {
    const tree = `${folder}/${suite}/${name}`;
    const control = `Package: ${name}\nVersion: ${version}\nArchitecture: ${architecture}\n` +
      "Maintainer: Tests <tests@localhost>\nDescription: for a test\n";
    await write(`${tree}/DEBIAN/control`, control);
    for (const [path, text] of Object.entries(files)) await write(`${tree}/${path}`, text);
    const file = `${name}_${version}.deb`;
    const { code, stderr } = await run("dpkg-deb", ["--build", tree, `${folder}/${file}`]);
    assertEquals(code, 0, stderr);
    const deb = await Deno.readFile(`${folder}/${file}`);
    index += `${control}Filename: ./${file}\nSize: ${deb.length}\nSHA256: ${await sha256(deb)}\n\n`;
  }
  const place = `main/binary-${architecture}/Packages`;
  await write(`${folder}/dists/${suite}/${place}`, index);
  const bytes = new TextEncoder().encode(index);
  await write(
    `${folder}/dists/${suite}/Release`,
    `Date: ${
      new Date().toUTCString()
    }\nSuite: ${suite}\nCodename: ${suite}\nComponents: main\nArchitectures: ${architecture}\n` +
      `SHA256:\n ${await sha256(bytes)} ${bytes.length} ${place}\n`,
  );
}

const LOADER: Package = {
  name: "libvulkan1",
  version: "1.0",
  files: { [`${LIBRARIES}/libvulkan.so.1`]: "" },
};

/** Mesa's package, with a driver that its manifest finds at the path given. */
function mesa(version: string, path: string): Package {
  return {
    name: "mesa-vulkan-drivers",
    version,
    files: {
      [`${LIBRARIES}/libvulkan_lvp.so`]: version,
      [`${MANIFESTS}/lvp_icd.json`]: `{ "ICD": { "library_path": "${path}" } }`,
    },
  };
}

/** A Debian of the code name `arthur`, whose archive is a folder that is served on loopback. */
class Machine implements AsyncDisposable {
  readonly archive: string;
  readonly cache: string;
  readonly #folder: string;
  readonly #server: Deno.HttpServer<Deno.NetAddr>;

  constructor() {
    this.#folder = Deno.makeTempDirSync();
    this.archive = `${this.#folder}/archive`;
    this.cache = `${this.#folder}/cache`;
    this.#server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen: () => {} }, (request) => {
      return Deno.readFile(this.archive + decodeURIComponent(new URL(request.url).pathname)).then(
        (bytes) => new Response(bytes),
        () => new Response(null, { status: 404 }),
      );
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#server.shutdown();
    await Deno.remove(this.#folder, { recursive: true });
  }

  /** Runs denow, which has Deno print its environment. */
  async denow(): Promise<Outcome & { env: Record<string, string> }> {
    const source = `http://127.0.0.1:${this.#server.addr.port}`;
    await write(`${this.#folder}/sources.list`, `deb ${source} arthur main\n`);
    await write(`${this.#folder}/os-release`, "ID=debian\nVERSION_CODENAME=arthur\n");
    // No package is installed, and the archive is not signed.
    await write(`${this.#folder}/status`, "");
    await write(
      `${this.#folder}/apt.conf`,
      `Dir::Etc::SourceList "${this.#folder}/sources.list"; Dir::State::status "${this.#folder}/status";
       Acquire::AllowInsecureRepositories "true"; APT::Get::AllowUnauthenticated "true";`,
    );
    const show = "console.log(JSON.stringify(Deno.env.toObject()))";
    const script = `
      for folder in /usr/share/vulkan /usr/local/share/vulkan /etc/vulkan /etc/apt/sources.list.d; do
        if [ -d "$folder" ]; then mount -t tmpfs tmpfs "$folder" || exit 99; fi
      done
      mount --bind "${this.#folder}/os-release" /etc/os-release || exit 99
      unset VK_ICD_FILENAMES VK_DRIVER_FILES
      exec "${DENOW}" eval '${show}'`;
    const outcome = await run("unshare", ["--map-root-user", "--mount", "sh", "-c", script], {
      APT_CONFIG: `${this.#folder}/apt.conf`,
      XDG_CACHE_HOME: this.cache,
      XDG_DATA_HOME: this.#folder,
      LD_LIBRARY_PATH: "/some/folder",
    });
    return { ...outcome, env: outcome.code === 0 ? JSON.parse(outcome.stdout) : {} };
  }
}

const ignore = !await canTest();

function test(name: string, fn: (machine: Machine) => Promise<void>): void {
  Deno.test({
    name,
    ignore,
    fn: async () => {
      await using machine = new Machine();
      await fn(machine);
    },
  });
}

test("denow unpacks the backports' Mesa where no driver is installed, once", async (machine) => {
  const { archive } = machine;
  await addSuite(archive, "arthur", [LOADER, mesa("22.0", `/${LIBRARIES}/libvulkan_lvp.so`)]);
  await addSuite(archive, "arthur-backports", [mesa("25.0", "libvulkan_lvp.so")]);

  const first = await machine.denow();
  assertEquals(first.code, 0, first.stderr);
  const folder = `${machine.cache}/kl-guard/vulkan-driver-arthur`;
  assertStringIncludes(first.stderr, `mesa-vulkan-drivers (about 70 MB, once) into ${folder}`);
  assertEquals(first.env.VK_ICD_FILENAMES, `${folder}/${MANIFESTS}/lvp_icd.json`);
  assertEquals(first.env.LD_LIBRARY_PATH, `${folder}/${LIBRARIES}:/some/folder`);
  assertEquals(await Deno.readTextFile(`${folder}/${LIBRARIES}/libvulkan_lvp.so`), "25.0");
  assertEquals([...Deno.readDirSync(`${machine.cache}/kl-guard`)].length, 1);

  await Deno.remove(archive, { recursive: true });
  const { stderr, env } = await machine.denow();
  assertEquals({ stderr, VK_ICD_FILENAMES: env.VK_ICD_FILENAMES }, {
    stderr: "",
    VK_ICD_FILENAMES: first.env.VK_ICD_FILENAMES,
  });
});

test("denow unpacks the release's Mesa where there are no backports", async (machine) => {
  await addSuite(machine.archive, "arthur", [
    LOADER,
    mesa("22.0", `/${LIBRARIES}/libvulkan_lvp.so`),
  ]);
  const { code, stderr, env } = await machine.denow();
  assertEquals(code, 0, stderr);
  const { ICD } = JSON.parse(await Deno.readTextFile(env.VK_ICD_FILENAMES!));
  assertEquals(ICD.library_path, "libvulkan_lvp.so", "found by name, not in the system's folders");
});

test("denow says what to install where no driver can be had, and leaves nothing", async (machine) => {
  await addSuite(machine.archive, "arthur", [LOADER]);
  const { code, stderr } = await machine.denow();
  assertEquals(code, 1);
  assert(/run: sudo apt-get .*mesa-vulkan-drivers/.test(stderr), stderr);
  assertEquals([...Deno.readDirSync(`${machine.cache}/kl-guard`)], []);
});
