import { assertEquals, assertMatch } from "@std/assert";
import deno from "../../deno.json" with { type: "json" };
import type { EndEvent, ProgramEvent } from "../../train/program_events.ts";

const ROOT = new URL("../../", import.meta.url);

/** What a program left behind. */
export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

/** Runs a program that is told nothing on its input, to its end. */
export async function outcomeOf(
  program: string,
  options: Deno.CommandOptions,
): Promise<Outcome & { signal: Deno.Signal | null }> {
  const output = await new Deno.Command(program, { ...options, stdin: "null" }).output();
  const [stdout, stderr] = [output.stdout, output.stderr]
    .map((bytes) => new TextDecoder().decode(bytes)) as [string, string];
  return { code: output.code, signal: output.signal, stdout, stderr };
}

/** Runs a task's program as `deno task` does, with the permissions that deno.json gives it. */
export async function runProgram(
  task: keyof typeof deno.tasks,
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<Outcome> {
  const [, ...words] = deno.tasks[task].split(" ");
  const { signal, ...outcome } = await outcomeOf(Deno.execPath(), {
    args: [...words, ...args],
    cwd: ROOT,
    env: { NO_COLOR: "1", ...env },
  });
  if (signal !== "SIGABRT") return outcome;
  // Deno now and then aborts while it unloads the Vulkan driver, when the program has already ended.
  const { stdout, stderr } = outcome;
  const lines = stderr.split("\n").filter((line) =>
    !/^(corrupted|malloc|free|double)\b/.test(line)
  );
  return { code: stderr.includes("error:") ? 1 : 0, stdout, stderr: lines.join("\n") };
}

/** What a program with `--json` printed, line by line. */
export function eventsOf({ stdout }: Outcome): ProgramEvent[] {
  return stdout.trimEnd().split("\n").map((line) => JSON.parse(line));
}

/** The last of these, which has the results. */
export function endOf(outcome: Outcome): EndEvent {
  const last = eventsOf(outcome).at(-1);
  if (last?.event === "end") return last;
  throw new Error(`the last line is no end: ${outcome.stdout} ${outcome.stderr}`);
}

/** Checks that a program ended as errors end: status 1, and one line on stderr that says what was wrong. */
export function assertRefused({ code, stderr }: Outcome, says: RegExp): void {
  assertMatch(stderr, /^error: [^\n]+\n$/);
  assertMatch(stderr, says);
  assertEquals(code, 1);
}
