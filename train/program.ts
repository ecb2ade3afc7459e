import { Command, Option, type OptionValues } from "commander";
import { Gpu, type GpuOptions } from "../kernels/runtime/mod.ts";
import { type HubOptions, hubOptionsFromEnv } from "../weights/hub_options.ts";
import { SETTINGS, VARIABLE_PREFIX } from "./config.ts";
import { downloadDisplay } from "./download_display.ts";
import { isEssential, type ProgramEvent } from "./program_events.ts";
import type { LineStyle, Screen } from "./screen.ts";
import { slips } from "./slips.ts";
import { isSystemError } from "./system_error.ts";
import { clearBar, errorWord, terminalScreen } from "./terminal.ts";
import { TuningFile } from "./tuning_file.ts";

/** What a program prints: text for people or, with `--json`, one JSON value a line for programs. */
export interface OutputOptions {
  json?: boolean | undefined;
  /** Leave out everything but warnings and the result. */
  quiet?: boolean | undefined;
}

/** Where a program writes; what is meant for the other kind of reader is dropped. */
export interface Output {
  readonly screen: Screen;
  /** A line that says how things go. */
  say(line: string, style?: LineStyle): void;
  /** A line of the result, or of what the guard saw, which `--quiet` keeps. */
  result(line: string, style?: LineStyle): void;
  /** A line on standard error, whatever the output is. */
  warn(line: string): void;
  json(value: unknown): void;
  /** The same for what has a type. */
  emit(event: ProgramEvent): void;
}

/** The output that the flags ask for. */
export function output({ json: isJson = false, quiet = false }: OutputOptions): Output {
  const screen = terminalScreen({ quiet });
  const nothing = () => {};
  const text = (line: string, style?: LineStyle) => screen.line(printable(line), style);
  const json = (value: unknown) => screen.line(JSON.stringify(value));
  return {
    screen,
    say: isJson || quiet ? nothing : text,
    result: isJson ? nothing : text,
    warn: (line) => screen.remark(printable(line)),
    json: isJson ? json : nothing,
    emit: isJson ? (event) => quiet && !isEssential(event) ? undefined : json(event) : nothing,
  };
}

/** What {@linkcode addOutputFlags} adds; commander takes no interface. */
type OutputFlags = { quiet?: boolean; json?: boolean };

/** Adds `--quiet`, and `--json` where that is no setting. */
export function addOutputFlags<Flags extends OptionValues>(
  command: Command<[], Flags>,
  { json = false }: { json?: boolean } = {},
): Command<[], Flags & OutputFlags> {
  const flags = [["-q, --quiet", "print errors, warnings and the result only"]];
  if (json) flags.push(["--json", "print JSON lines instead of text"]);
  for (const [flag, meaning] of flags) {
    command.addOption(new Option(flag!, meaning).helpGroup("Output:"));
  }
  return command as unknown as Command<[], Flags & OutputFlags>;
}

/** A text without the control characters, but for line ends, with which a stranger's text could steer a terminal. */
export function printable(text: string): string {
  return text.replaceAll(/[^\P{Cc}\n]/gu, "\ufffd");
}

/**
 * The environment variables of settings, and those that are a slip away from one, which nobody else will refuse: Deno lists
 * no variables to a program that may not read all of them, so each is asked for by its name.
 */
export function settingVariables(): Record<string, string> {
  const names = SETTINGS.flatMap(({ variable }) => {
    const name = variable.slice(VARIABLE_PREFIX.length);
    return [name, ...slips(name)];
  });
  const given = [...new Set(names)].map((name) => VARIABLE_PREFIX + name)
    .map((variable) => [variable, Deno.env.get(variable)]);
  return Object.fromEntries(given.filter(([, value]) => value !== undefined));
}

/** The adapter, with what training has measured to be fastest on it. */
export async function programGpu(options: GpuOptions = {}): Promise<Gpu> {
  const gpu = await Gpu.open(options);
  gpu.tuning.load(await (await TuningFile.of(gpu, Deno.env)).read());
  return gpu;
}

/** Where models come from, as the environment says; downloads are shown on stderr, away from results. */
export function programHub(screen: Screen = terminalScreen()): HubOptions {
  return { ...hubOptionsFromEnv(Deno.env), ...downloadDisplay(screen) };
}

/** A command whose errors are one line on stderr and exit status 1. */
export function programCommand(name: string, description: string): Command {
  return new Command(`deno task ${name}`)
    .description(description)
    .allowExcessArguments(false)
    .showSuggestionAfterError()
    .configureOutput({
      outputError: (text, write) => write(text.trim().replaceAll(/\s*\n\s*/g, " ") + "\n"),
    });
}

/** Adds examples to the end of a program's help. */
export function addExamples<C extends { addHelpText(position: "after", text: string): C }>(
  command: C,
  examples: readonly string[],
): C {
  const lines = examples.map((example) => `  deno task ${example}`);
  return command.addHelpText("after", ["\nExamples:", ...lines].join("\n"));
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
    clearBar();
    console.error(known ? `${errorWord()} ${printable(error.message)}` : error);
    Deno.exit(1);
  }
}

/** Without another driver Deno takes OpenGL, on which these kernels do not end. */
function refuseOpenGl(): void {
  if (Deno.env.has("DENO_WEBGPU_BACKEND")) return;
  Deno.env.set("DENO_WEBGPU_BACKEND", "vulkan,metal,dx12");
}
