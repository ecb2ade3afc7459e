/** Words and punctuation marks, in lower case: collapsed text like "....." counts as five marks. */
export function tokensOf(text: string): string[] {
  return text.toLowerCase().match(/[\p{L}\p{N}]+(?:['’][\p{L}\p{N}]+)*|[^\s]/gu) ?? [];
}

/** Every n tokens in a row, as they follow each other in a text. */
export function ngramsOf(text: string, n: number): string[] {
  const tokens = tokensOf(text);
  return tokens.slice(n - 1).map((_, i) => tokens.slice(i, i + n).join(" "));
}
