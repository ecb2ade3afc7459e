/**
 * Runs a program; an error becomes one line on stderr and exit status 1.
 *
 * Errors of this project and of the file system say what was wrong in their message; anything else is a
 * defect, and keeps its stack.
 */
export async function reportError(program: () => Promise<void>): Promise<void> {
  try {
    await program();
  } catch (error) {
    const known = error instanceof Error && error.name !== "Error" && error.name !== "TypeError";
    console.error(known ? `error: ${error.message}` : error);
    Deno.exit(1);
  }
}
