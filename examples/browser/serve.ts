/** Serves the page on loopback: `deno task browser`, which bundles browser.ts before. */

const ROOT = new URL("../../", import.meta.url);

/** What begins the address of a file, and where the files are. */
const FOLDERS: Record<string, string> = {
  "/weights/": "weights/",
  "/kl-guard.js": ".cache/browser/",
  "/": "examples/browser/",
};

const TYPES: Record<string, string> = {
  html: "text/html; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  json: "application/json",
};

const NOT_FOUND = { status: 404 };

async function serve(request: Request): Promise<Response> {
  const { pathname } = new URL(request.url); // without `..`
  const begin = Object.keys(FOLDERS).find((each) => pathname.startsWith(each))!;
  const name = pathname.slice(begin.lastIndexOf("/") + 1) || "index.html";
  try {
    const file = await Deno.open(new URL(FOLDERS[begin] + name, ROOT));
    const { size, isFile } = await file.stat();
    if (!isFile) {
      file.close();
      return new Response(null, NOT_FOUND);
    }
    const type = TYPES[name.split(".").at(-1)!] ?? "application/octet-stream";
    return new Response(file.readable, {
      headers: {
        "content-type": type,
        "content-length": String(size),
        "cache-control": "no-cache",
      },
    });
  } catch (error) {
    const { NotCapable, NotFound, IsADirectory } = Deno.errors;
    const isMissing = [NotCapable, NotFound, IsADirectory].some((type) => error instanceof type);
    if (isMissing) return new Response(null, NOT_FOUND);
    throw error;
  }
}

Deno.serve({
  hostname: "127.0.0.1",
  port: Number(Deno.args[0] ?? 0),
  onListen: ({ hostname, port }) => console.log(`http://${hostname}:${port}/`),
}, serve);
