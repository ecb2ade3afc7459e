import { assertEquals, assertRejects } from "@std/assert";
import { replaceFile, writeFileAtomic, writeFolderAtomic } from "../../weights/atomic.ts";
import { listTree, withFolder } from "../helpers/folder.ts";

Deno.test("writeFileAtomic() writes text and bytes, new and over old", () =>
  withFolder(async (folder) => {
    const path = `${folder}/a.txt`;
    await writeFileAtomic(path, "élan");
    assertEquals(await Deno.readTextFile(path), "élan");
    await writeFileAtomic(path, Uint8Array.of(1, 2, 3));
    assertEquals(await Deno.readFile(path), Uint8Array.of(1, 2, 3));
    assertEquals(await listTree(folder), ["a.txt"]);
  }));

Deno.test("writeFileAtomic() gives the file the rights of any new file", () =>
  withFolder(async (folder) => {
    await writeFileAtomic(`${folder}/atomic`, "");
    await Deno.writeTextFile(`${folder}/plain`, "");
    const mode = async (name: string) => (await Deno.stat(`${folder}/${name}`)).mode;
    assertEquals(await mode("atomic"), await mode("plain"));
  }));

Deno.test("replaceFile() shows the old content until the new is whole", () =>
  withFolder(async (folder) => {
    const path = `${folder}/a.txt`;
    await writeFileAtomic(path, "old");
    await replaceFile(path, async (file) => {
      await file.write(new TextEncoder().encode("ne"));
      assertEquals(await Deno.readTextFile(path), "old");
      await file.write(new TextEncoder().encode("w"));
    });
    assertEquals(await Deno.readTextFile(path), "new");
  }));

Deno.test("replaceFile() keeps the old content when writing fails", () =>
  withFolder(async (folder) => {
    const path = `${folder}/a.txt`;
    await writeFileAtomic(path, "old");
    await assertRejects(
      () => replaceFile(path, () => Promise.reject(new Error("disk full"))),
      Error,
      "disk full",
    );
    assertEquals(await Deno.readTextFile(path), "old");
    assertEquals(await listTree(folder), ["a.txt"]);
  }));

Deno.test("replaceFile() leaves nothing where the target is a folder", () =>
  withFolder(async (folder) => {
    await Deno.mkdir(`${folder}/a/b`, { recursive: true });
    await assertRejects(() => writeFileAtomic(`${folder}/a`, "text"));
    assertEquals(await listTree(folder), ["a/b"]);
  }));

Deno.test("writeFolderAtomic() makes a folder and the folders above it", () =>
  withFolder(async (folder) => {
    await writeFolderAtomic(`${folder}/runs/one/`, async (temporary) => {
      await Deno.mkdir(`${temporary}/deep/er`, { recursive: true });
      await Deno.writeTextFile(`${temporary}/deep/er/a`, "1");
      await Deno.writeTextFile(`${temporary}/b`, "2");
    });
    assertEquals(await listTree(folder), ["runs/one/b", "runs/one/deep/er/a"]);
  }));

Deno.test("writeFolderAtomic() replaces what it writes and keeps what it does not", () =>
  withFolder(async (folder) => {
    const path = `${folder}/model`;
    await Deno.mkdir(`${path}/notes`, { recursive: true });
    await Deno.writeTextFile(`${path}/notes/mine`, "kept");
    await Deno.writeTextFile(`${path}/weights`, "old");
    await writeFolderAtomic(path, async (temporary) => {
      await Deno.writeTextFile(`${temporary}/weights`, "new");
      assertEquals(await Deno.readTextFile(`${path}/weights`), "old");
    });
    assertEquals(await listTree(folder), ["model/notes/mine", "model/weights"]);
    assertEquals(await Deno.readTextFile(`${path}/weights`), "new");
  }));

Deno.test("writeFolderAtomic() keeps the old folder when writing fails", () =>
  withFolder(async (folder) => {
    const write = async (temporary: string) => {
      await Deno.writeTextFile(`${temporary}/half`, "");
      throw new Error("disk full");
    };
    await assertRejects(() => writeFolderAtomic(`${folder}/new`, write), Error, "disk full");
    assertEquals(await listTree(folder), []);

    await Deno.mkdir(`${folder}/old`);
    await Deno.writeTextFile(`${folder}/old/a`, "");
    await assertRejects(() => writeFolderAtomic(`${folder}/old`, write), Error, "disk full");
    assertEquals(await listTree(folder), ["old/a"]);
  }));

Deno.test("writeFolderAtomic() does not replace a file", () =>
  withFolder(async (folder) => {
    await Deno.writeTextFile(`${folder}/a`, "precious");
    await assertRejects(
      () => writeFolderAtomic(`${folder}/a`, () => Promise.resolve()),
      Deno.errors.NotADirectory,
      "a file has this name",
    );
    assertEquals(await Deno.readTextFile(`${folder}/a`), "precious");
  }));
