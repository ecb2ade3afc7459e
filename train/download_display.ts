import type { DownloadProgress } from "../weights/hub_options.ts";
import { clock } from "./clock.ts";

/** Between two drawings of the bar on a terminal, and between two lines elsewhere, in ms. */
const REDRAW_MS = 100;
const LINE_MS = 10_000;

/** The rate is the mean over this long, in ms. */
const WINDOW_MS = 10_000;

/** Hears of a download, as `HubOptions` have it. */
export interface DownloadDisplay {
  onProgress(progress: DownloadProgress): void;
  say(line: string): void;
}

/** Where a {@linkcode downloadDisplay} writes to. */
export interface DisplayTarget {
  write(text: string): void;
  /** Whether what was written can be written over. */
  isTerminal: boolean;
  /** Time in ms from any start. */
  now(): number;
}

/**
 * Shows a download: on a terminal as one bar that moves, elsewhere as a line every ten seconds; and the remarks that
 * come with it as lines of their own.
 */
export function downloadDisplay({ write, isTerminal, now }: DisplayTarget): DownloadDisplay {
  const marks: { time: number; bytes: number }[] = [];
  let drawn = -Infinity;
  const clear = isTerminal ? "\r\x1b[K" : "";
  return {
    onProgress({ doneBytes, totalBytes }) {
      const time = now();
      const isEnd = doneBytes === totalBytes;
      if (time - drawn < (isTerminal ? REDRAW_MS : LINE_MS) && !isEnd) return;
      drawn = time;
      marks.push({ time, bytes: doneBytes });
      while (time - marks[0]!.time > WINDOW_MS && marks.length > 2) marks.shift();
      const bytes = doneBytes - marks[0]!.bytes;
      const ms = time - marks[0]!.time;
      const line = progressLine({ doneBytes, totalBytes }, ms > 0 ? bytes / ms : 0, isTerminal);
      write(clear + line + (isTerminal && !isEnd ? "" : "\n"));
    },
    say(line) {
      write(clear + line + "\n");
    },
  };
}

/** `download [========            ]  40 % of 548.1 MB | 24.1 MB/s | ETA 0:14`, at a rate in bytes per ms. */
function progressLine(
  { doneBytes, totalBytes }: DownloadProgress,
  rate: number,
  withBar: boolean,
): string {
  const share = totalBytes === 0 ? 1 : doneBytes / totalBytes;
  const bar = withBar ? `[${"=".repeat(Math.floor(20 * share)).padEnd(20)}] ` : "";
  const percent = String(Math.floor(100 * share)).padStart(3);
  const left = rate > 0 ? clock((totalBytes - doneBytes) / rate / 1000) : "-:--";
  return `download ${bar}${percent} % of ${megabytes(totalBytes)} | ` +
    `${megabytes(1000 * rate)}/s | ETA ${left}`;
}

/** Decimal, as disks and networks count. */
function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
