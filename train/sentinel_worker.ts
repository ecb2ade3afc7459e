/**
 * The thread of the {@linkcode Sentinel}: hears signals, and ends the program when the GPU does not answer.
 *
 * @module
 */
import type { SubmittedPass } from "../kernels/runtime/mod.ts";
import type { SentinelOptions } from "./sentinel.ts";
import { clearBar } from "./terminal.ts";

/** What the worker is told: how to watch, that a wait begins, that it ends. */
export type SentinelMessage =
  | { options: SentinelOptions }
  | {
    /** Passes that were submitted since the worker was told of the last. */
    begins: readonly SubmittedPass[];
    /** Whether those before have run. */
    isAnother: boolean;
  }
  | "ends";

const SIGNALS: readonly Deno.Signal[] = Deno.build.os === "windows"
  ? ["SIGINT", "SIGBREAK"]
  : ["SIGINT", "SIGTERM"];

/** A task runner may pass on a signal that the program has got itself: for so long it counts as one, in ms. */
const SAME_SIGNAL_MS = 500;

if (import.meta.main) watch(self as unknown as Worker);

function watch(program: Pick<Worker, "postMessage" | "onmessage">): void {
  const listeners = SIGNALS.map((signal) => ({ signal, heard: () => hear(signal) }));
  let asked = false;

  const hear = (signal: Deno.Signal) => {
    if (asked) return;
    asked = true;
    clearBar();
    console.error(
      `${signal}: stopping after this step, with a checkpoint; once more to leave at once`,
    );
    program.postMessage(signal);
    // Without listeners the next one ends the program, whatever it is doing.
    setTimeout(() => {
      for (const { signal, heard } of listeners) Deno.removeSignalListener(signal, heard);
    }, SAME_SIGNAL_MS);
  };
  for (const { signal, heard } of listeners) Deno.addSignalListener(signal, heard);

  let timer: ReturnType<typeof setTimeout> | undefined;
  let options: SentinelOptions = { gpuTimeout: 0, advice: "" };
  let passes: SubmittedPass[] = [];
  program.onmessage = ({ data }: MessageEvent<SentinelMessage>) => {
    clearTimeout(timer);
    if (data === "ends") return;
    if ("options" in data) {
      options = data.options;
    } else {
      passes = data.isAnother ? [...data.begins] : [...passes, ...data.begins];
      timer = setTimeout(() => giveUp(options, passes), 1000 * options.gpuTimeout);
    }
  };
}

function giveUp({ gpuTimeout, advice }: SentinelOptions, passes: readonly SubmittedPass[]): void {
  clearBar();
  console.error(
    `error: The GPU has not answered for ${gpuTimeout} s; it was given ${show(passes)}; ${advice}`,
  );
  Deno.kill(Deno.pid, "SIGKILL"); // the program's thread is blocked and cannot end itself
}

/** "update (matmul 96 times, adamw twice), then ...". */
function show(passes: readonly SubmittedPass[]): string {
  if (passes.length === 0) return "nothing but a copy to the host";
  return passes.map(({ label, kernels }) => {
    const counts = [...kernels].map(([kernel, count]) => `${count} x ${kernel}`);
    return `${label} (${counts.join(", ")})`;
  }).join(", then ");
}
