/**
 * denow on a Debian without a Vulkan driver. The apt-get and dpkg-deb are real, and so are the packages, which are made here;
 * the machine is this one, seen from a mount namespace in which no driver is installed.
 */

import { assert, assertEquals, assertStringIncludes } from "@std/assert";
import { dirname } from "node:path";
import { withFolder } from "./helpers/folder.ts";
import { sha256 } from "./helpers/hub_server.ts";
import { type Outcome, outcomeOf } from "./helpers/program.ts";

const DENOW = new URL("../denow", import.meta.url).pathname;
const LIBRARIES = "usr/lib/x86_64-linux-gnu";
const MANIFESTS = "usr/share/vulkan/icd.d";

/** Begins a program in a mount namespace of its own, in which it is root. */
const APART = ["--map-root-user", "--mount", "sh", "-c"];

/** Whether this is a Debian on which a process may have a mount namespace to itself. */
async function canTest(): Promise<boolean> {
  try {
    const needs = "which apt-get dpkg-deb && ls /usr/share/keyrings/debian-archive-keyring.gpg";
    return (await outcomeOf("unshare", { args: [...APART, needs] })).code === 0;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

async function write(path: string, text: string): Promise<void> {
  await Deno.mkdir(dirname(path), { recursive: true });
  await Deno.writeTextFile(path, text);
}

/** A package for apt: its name, its version, and the text of its files by path. */
interface Package {
  name: string;
  version: string;
  files: Record<string, string>;
}

/** Adds a suite with packages to an archive that apt can read from `folder`. */
async function addSuite(folder: string, suite: string, packages: Package[]): Promise<void> {
  const architecture = (await outcomeOf("dpkg", { args: ["--print-architecture"] }))
    .stdout.trim();
  let index = "";
  for (const { name, version, files } of packages) {
    const tree = `${folder}/${suite}/${name}`;
    const control = `Package: ${name}\nVersion: ${version}\nArchitecture: ${architecture}\n` +
      "Maintainer: Tests <tests@localhost>\nDescription: for a test\n";
    await write(`${tree}/DEBIAN/control`, control);
    for (const [path, text] of Object.entries(files)) await write(`${tree}/${path}`, text);
    const file = `${name}_${version}.deb`;
    const { code, stderr } = await outcomeOf("dpkg-deb", {
      args: ["--build", tree, `${folder}/${file}`],
    });
    assertEquals(code, 0, stderr);
    const deb = await Deno.readFile(`${folder}/${file}`);
    index += `${control}Filename: ./${file}\nSize: ${deb.length}\nSHA256: ${sha256(deb)}\n\n`;
  }
  const place = `main/binary-${architecture}/Packages`;
  await write(`${folder}/dists/${suite}/${place}`, index);
  const bytes = new TextEncoder().encode(index);
  await write(
    `${folder}/dists/${suite}/Release`,
    `Date: ${new Date().toUTCString()}\nSuite: ${suite}\nCodename: ${suite}\n` +
      `Components: main\nArchitectures: ${architecture}\n` +
      `SHA256:\n ${sha256(bytes)} ${bytes.length} ${place}\n`,
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

/** A Debian of the code name `arthur`. */
interface Machine {
  /** The folder of its archive, which apt reaches on loopback. */
  archive: string;
  /** The user's cache. */
  cache: string;
  /** Runs denow, which has Deno print its environment. */
  denow: () => Promise<Outcome & { env: Record<string, string> }>;
}

function withMachine(test: (machine: Machine) => Promise<void>): Promise<void> {
  return withFolder(async (folder) => {
    const archive = `${folder}/archive`;
    await using server = Deno.serve(
      { hostname: "127.0.0.1", port: 0, onListen: () => {} },
      ({ url }) =>
        Deno.readFile(archive + decodeURIComponent(new URL(url).pathname)).then(
          (bytes) => new Response(bytes),
          () => new Response(null, { status: 404 }),
        ),
    );
    await write(`${folder}/sources.list`, `deb http://127.0.0.1:${server.addr.port} arthur main\n`);
    await write(`${folder}/os-release`, "ID=debian\nVERSION_CODENAME=arthur\n");
    // No package is installed, and the archive is not signed.
    await write(`${folder}/status`, "");
    await write(
      `${folder}/apt.conf`,
      `Dir::Etc::SourceList "${folder}/sources.list"; Dir::State::status "${folder}/status";
       Acquire::AllowInsecureRepositories "true"; APT::Get::AllowUnauthenticated "true";`,
    );
    const script = `
      for folder in /usr/share/vulkan /usr/local/share/vulkan /etc/vulkan /etc/apt/sources.list.d; do
        if [ -d "$folder" ]; then mount -t tmpfs tmpfs "$folder" || exit 99; fi
      done
      mount --bind "${folder}/os-release" /etc/os-release || exit 99
      unset VK_ICD_FILENAMES VK_DRIVER_FILES
      exec "${DENOW}" eval 'console.log(JSON.stringify(Deno.env.toObject()))'`;
    const env = {
      APT_CONFIG: `${folder}/apt.conf`,
      XDG_CACHE_HOME: `${folder}/cache`,
      XDG_DATA_HOME: folder,
      LD_LIBRARY_PATH: "/some/folder",
    };
    await test({
      archive,
      cache: `${folder}/cache`,
      denow: async () => {
        const outcome = await outcomeOf("unshare", { args: [...APART, script], env });
        return { ...outcome, env: outcome.code === 0 ? JSON.parse(outcome.stdout) : {} };
      },
    });
  });
}

const ignore = !await canTest();

function test(name: string, test: (machine: Machine) => Promise<void>): void {
  Deno.test({ name, ignore, fn: () => withMachine(test) });
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
