import { assertEquals, assertRejects } from "@std/assert";
import { join } from "node:path";
import { PageError, writePage } from "../../train/html.ts";
import { withFolder } from "../helpers/folder.ts";

Deno.test("writePage() says in one sentence that a page cannot be written, and leaves nothing", () =>
  withFolder(async (folder) => {
    const file = join(folder, "none", "page.html");
    const error = await assertRejects(() => writePage(file, "<p>"), PageError);
    assertEquals(
      error.message,
      `Cannot write the page ${file}: No such file or directory (os error 2); ` +
        "name a file in a folder that exists and can be written to",
    );
    assertEquals(Array.from(Deno.readDirSync(folder)), []);
    await assertRejects(
      () => writePage(folder, "<p>"),
      PageError,
      `Cannot write the page ${folder}`,
    );
    assertEquals(Array.from(Deno.readDirSync(folder)), []);
  }));
