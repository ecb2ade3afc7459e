/**
 * Whether an error came from the operating system: no such file, disk full, not permitted.
 *
 * Deno has classes for some of these only; all have the system's code.
 */
export function isSystemError(error: unknown): error is Error & { code: string } {
  return error instanceof Error && "code" in error && /^E[A-Z0-9]+$/.test(String(error.code));
}

/** What the system says was wrong, without the call and the path: "Is a directory (os error 21)". */
export function systemProblem(error: Error): string {
  return error.message.replace(/: \w+ '.*'$/, "");
}
