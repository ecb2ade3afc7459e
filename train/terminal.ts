/** The terminal that a program runs in, or the pipe. */

import { styleText } from "node:util";
import { CLEAR, Screen } from "./screen.ts";

/**
 * Whether standard error is a terminal on which a line can be written over.
 *
 * Needs the environment variables TERM and CI; who sets NO_COLOR, or records the output in CI, wants no control
 * characters at all.
 */
export function isLiveTerminal(): boolean {
  return Deno.stderr.isTerminal() && takesControls();
}

/** What an error message begins with, so that a bar that is still there does not stand before it. */
export function clearBar(): void {
  if (isLiveTerminal()) write(CLEAR);
}

/** What an error message begins with for people: `error:`, in red on a terminal. */
export function errorWord(): string {
  return isLiveTerminal() ? styleText("red", "error:", { validateStream: false }) : "error:";
}

/** The screen of a program: lines go to standard output, remarks and bars to standard error. */
export function terminalScreen({ quiet = false }: { quiet?: boolean } = {}): Screen {
  const hasTerminal = Deno.stdout.isTerminal();
  return new Screen({
    line: (text) => console.log(text),
    write,
    isLive: isLiveTerminal(),
    isQuiet: quiet,
    hasColour: hasTerminal && takesControls(),
    lineColumns: () => hasTerminal ? consoleColumns() : Infinity,
    barColumns: consoleColumns,
    now: () => performance.now(),
  });
}

function takesControls(): boolean {
  return !Deno.noColor && !Deno.env.get("CI") && Deno.env.get("TERM") !== "dumb";
}

/** Some terminals do not tell their size, or tell 0. */
function consoleColumns(): number {
  try {
    return Deno.consoleSize().columns || 80;
  } catch {
    return 80;
  }
}

function write(text: string): void {
  const bytes = new TextEncoder().encode(text);
  for (let sent = 0; sent < bytes.length;) sent += Deno.stderr.writeSync(bytes.subarray(sent));
}
