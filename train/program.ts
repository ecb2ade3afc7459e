import { Command } from "commander";
import { type HubOptions, hubOptionsFromEnv } from "../weights/hub_options.ts";
import { SETTINGS } from "./config.ts";
import { downloadDisplay } from "./download_display.ts";
import { isSystemError } from "./system_error.ts";

/** Where a program writes: lines for people or, with `--json`, one JSON value a line for programs. */
export interface Output {
  say(line: string): void;
  json(value: unknown): void;
}

/** An output of one of the two kinds; what is meant for the other is dropped. */
export function output(json: boolean): Output {
  const nothing = () => {};
  return json
    ? { say: nothing, json: (value) => console.log(JSON.stringify(value)) }
    : { say: (line) => console.log(printable(line)), json: nothing };
}

/** A text without the control characters, but for line ends, with which a stranger's text could steer a terminal. */
export function printable(text: string): string {
  return text.replaceAll(/[^\P{Cc}\n]/gu, "\ufffd");
}

/** The environment variables of settings. The permissions of programs cover these, not the whole environment. */
export function settingVariables(): Record<string, string> {
  const given = SETTINGS.map(({ variable }) => [variable, Deno.env.get(variable)]);
  return Object.fromEntries(given.filter(([, value]) => value !== undefined));
}

/** Where models come from, as the environment says; downloads are shown on stderr, away from results. */
export function programHub(): HubOptions {
  const encoder = new TextEncoder();
  const display = downloadDisplay({
    write: (text) => void Deno.stderr.writeSync(encoder.encode(text)),
    isTerminal: Deno.stderr.isTerminal(),
    now: () => performance.now(),
  });
  return { ...hubOptionsFromEnv(Deno.env), ...display };
}

/** A command whose errors are one line on stderr and exit status 1. */
export function programCommand(name: string, description: string): Command {
  return new Command(name)
    .description(description)
    .allowExcessArguments(false)
    .showSuggestionAfterError()
    .configureOutput({
      outputError: (text, write) => write(text.trim().replaceAll(/\s*\n\s*/g, " ") + "\n"),
    });
}

/** Names of errors that the language and its libraries throw where a program is wrong, not its input. */
const DEFECTS = ["Error", "TypeError", "ReferenceError", "SyntaxError"];

/**
 * Runs a program; an error becomes one line on stderr and exit status 1.
 *
 * Errors of this project and of the file system say what was wrong in their message; anything else is a
 * defect, and keeps its stack.
 */
export async function reportError(program: () => Promise<void>): Promise<void> {
  refuseOpenGl();
  try {
    await program();
  } catch (error) {
    const known = error instanceof Error &&
      (!DEFECTS.includes(error.name) || isSystemError(error));
    console.error(known ? `error: ${printable(error.message)}` : error);
    Deno.exit(1);
  }
}

/** Without another driver Deno takes OpenGL, on which these kernels do not end. */
function refuseOpenGl(): void {
  if (Deno.env.has("DENO_WEBGPU_BACKEND")) return;
  Deno.env.set("DENO_WEBGPU_BACKEND", "vulkan,metal,dx12");
}
