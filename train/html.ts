/** What the pages that are files have in common: their head, and how a stranger's text gets into them. */

import { writeFileAtomic } from "../weights/atomic.ts";
import { isSystemError, systemProblem } from "./system_error.ts";

/** A page cannot be written. */
export class PageError extends Error {
  override name = "PageError";
}

/**
 * Writes a page to a file that someone named, whole or not at all.
 *
 * @throws {PageError} If the file system does not take it.
 */
export async function writePage(file: string, page: string): Promise<void> {
  try {
    await writeFileAtomic(file, page);
  } catch (cause) {
    if (!isSystemError(cause)) throw cause;
    const problem = systemProblem(cause);
    throw new PageError(
      `Cannot write the page ${file}: ${problem}; name a file in a folder that exists and can be written to`,
      { cause },
    );
  }
}

/** The beginning of a page, up to the start of its body. */
export function pageHead({ title, policy, styles }: {
  /** As text; the program's name goes before it. */
  title: string;
  /** The content security policy. */
  policy: string;
  /** As CSS. */
  styles: string;
}): string {
  return `<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>KL Guard: ${escapeHtml(title)}</title>
<style>${styles}</style>
</head>
<body>`;
}

/** Text for an element or an attribute in double quotes. */
export function escapeHtml(text: string): string {
  const names: Record<string, string> = {
    "&": "amp",
    "<": "lt",
    ">": "gt",
    '"': "quot",
    "'": "#39",
  };
  return text.replace(/[&<>"']/g, (character) => `&${names[character]};`);
}

/** JSON that cannot end the script element that it stands in. */
export function embeddedJson(value: unknown): string {
  return JSON.stringify(value).replaceAll("<", "\\u003c");
}

/** The hash of a script or of styles as a content security policy names it. */
export async function sourceHash(source: string): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(source));
  return `'sha256-${new Uint8Array(digest).toBase64()}'`;
}
