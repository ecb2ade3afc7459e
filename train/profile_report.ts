import { showBytes } from "./byte_size.ts";
import {
  type DispatchProfile,
  type KernelProfile,
  type MeasuredAdapter,
  STEP_PARTS,
  type StepProfile,
} from "./step_profile.ts";

/** The adapter in one line. */
export function describeAdapter(adapter: MeasuredAdapter): string {
  const { description, flopsPerSecond, bytesPerSecond } = adapter;
  return `${description}: at most ${giga(flopsPerSecond)} GFLOP/s in registers, ` +
    `${giga(bytesPerSecond)} GB/s copied, measured in this run`;
}

/** A step as lines: its sums, then a line for each phase, and one for the guard where it looked. */
export function stepTable(profile: StepProfile): string[] {
  const { seconds, steps, tokensPerSecond, generatedPerSecond, peakBytes, phases } = profile;
  const parts = STEP_PARTS.filter((part) => part !== "guard" || phases.guard.seconds > 0);
  const rows = parts.map((phase) => {
    const { seconds: ofPhase, counts } = phases[phase];
    return [
      phase,
      ofPhase.toFixed(3),
      percent(ofPhase / seconds),
      ...[counts.dispatches, counts.submits, counts.reads].map(String),
      showBytes(counts.readBytes),
      ...[counts.buffers, counts.bindGroups, counts.pipelines].map(String),
    ];
  });
  return [
    `one PPO step: ${seconds.toFixed(3)} s (median of ${steps}), ` +
    `${tokensPerSecond.toFixed(0)} response tokens/s, ${
      generatedPerSecond.toFixed(0)
    } while generating; ` +
    `at most ${showBytes(peakBytes)} on the GPU`,
    "",
    ...table([
      [
        "phase",
        "seconds",
        "share",
        "dispatches",
        "submits",
        "reads",
        "bytes read",
        "new buffers",
        "bind groups",
        "pipelines",
      ],
      ...rows,
    ], 1),
  ];
}

/** The kernels of a step as lines, the longest first. */
export function kernelTable(kernels: readonly KernelProfile[], { rows = 30 } = {}): string[] {
  const shown = kernels.slice(0, rows);
  const left = kernels.slice(rows);
  const share = left.reduce((sum, { timeShare }) => sum + timeShare, 0);
  return [
    ...table([
      ["kernel", "shapes", "calls", "ms", "share", "GFLOP/s", "GB/s", "of limit"],
      ...shown.map((one) => [
        one.kernel,
        one.shape,
        String(one.calls),
        one.ms.toFixed(2),
        percent(one.timeShare),
        one.flopsPerSecond === 0 ? "" : giga(one.flopsPerSecond),
        giga(one.bytesPerSecond),
        percent(one.limitShare),
      ]),
    ], 2),
    ...(left.length === 0 ? [] : [`and ${left.length} more with ${percent(share)} of the time`]),
  ];
}

/**
 * A step in the Trace Event Format, which chrome://tracing and ui.perfetto.dev show.
 *
 * Source: Duca & Sinclair, Trace Event Format: complete events (`X`), times in microseconds.
 */
export function chromeTrace({ phases, dispatches }: DispatchProfile): unknown {
  const event = (name: string, startMs: number, ms: number, rest: Record<string, unknown>) => ({
    name,
    ph: "X",
    ts: 1000 * startMs,
    dur: 1000 * ms,
    pid: 1,
    ...rest,
  });
  const track = (tid: number, name: string) => ({
    name: "thread_name",
    ph: "M",
    pid: 1,
    tid,
    args: { name },
  });
  return {
    traceEvents: [
      track(1, "phases"),
      track(2, "GPU"),
      ...phases.map(({ phase, startMs, ms }) => event(phase, startMs, ms, { tid: 1 })),
      ...dispatches.map(({ kernel, pass, shape, flops, bytes, startMs, ms }) =>
        event(kernel, startMs, ms, { tid: 2, cat: pass, args: { shape, flops, bytes } })
      ),
    ],
  };
}

/** Rows in columns of one width, the first `left` columns aligned to the left. */
function table(rows: readonly (readonly string[])[], left: number): string[] {
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows.map((row) =>
    row.map((cell, column) =>
      column < left ? cell.padEnd(widths[column]!) : cell.padStart(widths[column]!)
    ).join("  ").trimEnd()
  );
}

/** Billions of something, with three digits. */
function giga(value: number): string {
  return (value / 1e9).toPrecision(3);
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
