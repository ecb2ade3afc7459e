import type { TokenRows } from "../model/token_batch.ts";
import type { TextCodec } from "../model/tokenizer.ts";
import type { Rng } from "./rng.ts";

/** Documents as token ids in one piece of memory: document i is `ids[starts[i] .. starts[i + 1]]`. */
export interface Documents {
  /** Token ids of all documents. */
  ids: Uint32Array;
  /** Where each document begins, and at last where the last one ends. */
  starts: Uint32Array;
  /** UTF-8 bytes of the text, a line end for each document included. */
  bytes: number;
}

/** A data file that cannot be used. */
export class TextDataError extends RangeError {
  /** The name of the class. */
  override name = "TextDataError";
}

/**
 * Reads a text file of one document a line; blank lines are skipped.
 *
 * @throws {TextDataError} If the file is missing or has no text.
 */
export async function readDocuments(path: string, codec: TextCodec): Promise<Documents> {
  let text: string;
  try {
    text = await Deno.readTextFile(path);
  } catch (cause) {
    throw new TextDataError(`Cannot read the text file ${path}: check the path`, { cause });
  }
  const lines = text.split(/\r?\n/).filter((line) => line.trim() !== "");
  if (lines.length === 0) {
    throw new TextDataError(`Cannot train on ${path}: it has no text; put one document on a line`);
  }
  const encoder = new TextEncoder();
  const documents = lines.map((line) => codec.encode(line));
  const starts = new Uint32Array(documents.length + 1);
  documents.forEach((ids, i) => starts[i + 1] = starts[i] + ids.length);
  const ids = new Uint32Array(starts[documents.length]);
  documents.forEach((document, i) => ids.set(document, starts[i]));
  const bytes = lines.reduce((sum, line) => sum + encoder.encode(line).length + 1, 0);
  return { ids, starts, bytes };
}

/** Number of training tokens in one epoch: every document's, and the end of text before each. */
export function epochTokens({ ids, starts }: Documents): number {
  return ids.length + starts.length - 1;
}

/**
 * Endless training batches: each epoch shuffles the documents, sets an end-of-text token before each, and cuts
 * the stream into rows of `length` + 1 ids, which overlap by one, so that every token is predicted once.
 */
export function* packedBatches(
  { ids, starts }: Documents,
  { batchSize, length, eosId, rng }: { batchSize: number; length: number; eosId: number; rng: Rng },
): Generator<TokenRows, never> {
  const order = Array.from({ length: starts.length - 1 }, (_, i) => i);
  let rows: number[][] = [];
  let row: number[] = [];
  while (true) {
    for (const document of rng.shuffle(order)) {
      const stream = [eosId, ...ids.subarray(starts[document], starts[document + 1])];
      for (const id of stream) {
        row.push(id);
        if (row.length <= length) continue;
        rows.push(row);
        row = [id];
        if (rows.length < batchSize) continue;
        yield { inputIds: rows };
        rows = [];
      }
    }
  }
}

/**
 * Validation batches: every document by itself, between two end-of-text tokens, padded on the right; like
 * lengths together. Documents longer than `length` are cut into pieces.
 */
export function validationBatches(
  { ids, starts }: Documents,
  { batchSize, length, eosId }: { batchSize: number; length: number; eosId: number },
): Required<TokenRows>[] {
  const rows: number[][] = [];
  for (let i = 0; i + 1 < starts.length; i++) {
    const document = [eosId, ...ids.subarray(starts[i], starts[i + 1]), eosId];
    for (let at = 0; at + 1 < document.length; at += length - 1) {
      rows.push(document.slice(at, at + length));
    }
  }
  rows.sort((a, b) => a.length - b.length);
  const batches: Required<TokenRows>[] = [];
  for (let at = 0; at < rows.length; at += batchSize) {
    const part = rows.slice(at, at + batchSize);
    const T = Math.max(...part.map((row) => row.length));
    batches.push({
      inputIds: part.map((row) => [...row, ...Array(T - row.length).fill(eosId)]),
      attentionMask: part.map((row) => [...row.map(() => 1), ...Array(T - row.length).fill(0)]),
    });
  }
  return batches;
}
