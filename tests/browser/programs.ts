/** Programs of the project as processes, with the permissions that deno.json gives them. */

import deno from "../../deno.json" with { type: "json" };

const ROOT = new URL("../../", import.meta.url);

/** Starts a task's program, without what comes before `&&`; its standard output comes line by line. */
export function startProgram(
  task: keyof typeof deno.tasks,
  args: readonly string[],
) {
  const [, ...words] = deno.tasks[task].split(" && ").at(-1)!.split(" ");
  const child = new Deno.Command(Deno.execPath(), {
    args: [...words, ...args],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
    stdin: "null",
    stdout: "piped",
    stderr: "inherit",
  }).spawn();
  const lines = child.stdout.pipeThrough(new TextDecoderStream()).pipeThrough(
    new LineStream(),
  );
  return { child, lines };
}

/** Runs deno to its end, with a program on its standard input where one is given. */
export async function runProgram(args: readonly string[], input = "") {
  const child = new Deno.Command(Deno.execPath(), {
    args: [...args],
    cwd: ROOT,
    env: { NO_COLOR: "1" },
    stdin: "piped",
    stdout: "piped",
    stderr: "piped",
  }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(input)).then(() => writer.close()).catch(() => {});
  const { success, stdout, stderr } = await child.output();
  const [out, err] = [stdout, stderr].map((bytes) => new TextDecoder().decode(bytes));
  return { success, stdout: out, stderr: err };
}

/** Waits for a line with an address, and returns it. */
export async function addressOf(
  lines: ReadableStream<string>,
): Promise<string> {
  for await (const line of lines.values({ preventCancel: true })) {
    const address = line.match(/http:\/\/127\.0\.0\.1:\d+\S*/)?.[0];
    if (address) return address.replace(/;$/, "");
  }
  throw new Error("the program ended without an address");
}

class LineStream extends TransformStream<string, string> {
  constructor() {
    let rest = "";
    super({
      transform(part, controller) {
        const lines = (rest + part).split("\n");
        rest = lines.pop()!;
        for (const line of lines) controller.enqueue(line);
      },
      flush: (controller) => controller.enqueue(rest),
    });
  }
}
