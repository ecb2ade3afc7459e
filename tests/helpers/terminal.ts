import deno from "../../deno.json" with { type: "json" };

const ROOT = new URL("../../", import.meta.url);

/** What a program did on a terminal. */
export interface TerminalOutcome {
  code: number;
  /** All that the terminal was sent. */
  sent: string;
  /** What is on it in the end, line by line. */
  rows: string[];
}

/** Whether this machine has util-linux's `script`, which gives a program a terminal. */
export async function hasTerminals(): Promise<boolean> {
  try {
    const { stdout } = await new Deno.Command("script", { args: ["--version"] }).output();
    return new TextDecoder().decode(stdout).includes("util-linux");
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

/** Runs a task's program, with the permissions that deno.json gives it, on a terminal of so many columns. */
export async function runOnTerminal(
  task: keyof typeof deno.tasks,
  args: readonly string[],
  { columns, env = {} }: { columns: number; env?: Record<string, string> },
): Promise<TerminalOutcome> {
  const [, ...words] = deno.tasks[task].split(" ");
  const program = [Deno.execPath(), ...words, ...args].map((word) => `'${word}'`).join(" ");
  const { code, stdout } = await new Deno.Command("script", {
    args: ["-qec", `stty cols ${columns}; exec ${program}`, "/dev/null"],
    cwd: ROOT,
    env: { TERM: "xterm", NO_COLOR: "", CI: "", ...env },
    stdin: "null",
  }).output();
  const sent = new TextDecoder().decode(stdout);
  return { code, sent, rows: screenOf(sent, columns) };
}

/** What a terminal shows that was sent a text: it knows line ends, deleting a line, and colours, and nothing else. */
export function screenOf(text: string, columns: number): string[] {
  const rows: string[][] = [[]];
  let column = 0;
  // deno-lint-ignore no-control-regex
  for (const [part] of text.matchAll(/\x1b\[[\d;]*[A-Za-z]|[^]/gu)) {
    const row = rows.at(-1)!;
    if (part === "\r") column = 0;
    else if (part === "\n") rows.push(Array(column).fill(" "));
    else if (part === "\x1b[K") row.length = Math.min(row.length, column);
    else if (part.startsWith("\x1b[") && part.endsWith("m")) continue;
    else if (/\p{Cc}/u.test(part)) throw new Error(`the terminal was sent ${JSON.stringify(part)}`);
    else if (column < columns) row[column++] = part;
    else {
      rows.push([part]);
      column = 1;
    }
  }
  return rows.map((row) => row.join("").trimEnd());
}
