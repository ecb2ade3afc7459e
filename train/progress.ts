import { clock } from "./clock.ts";

/** What a long piece of work is measured in; bytes are shown in megabytes. */
export type WorkUnit = "bytes" | "kernels" | "kinds" | "steps" | "responses";

/** A long piece of work whose end can be foretold. */
export interface Work {
  /** In a word: `training`. */
  name: string;
  unit: WorkUnit;
  /** How much there is to do, what was done before included. */
  total: number;
}

/** The rate is the mean over this long, in ms, but over this many updates at least: a training step may take longer. */
const WINDOW_MS = 10_000;
const LEAST_MARKS = 6;

/** Between two marks, in ms, so that a work of a million updates does not keep them all. */
const MARK_MS = 100;

const WIDEST_BAR = 20;
const NARROWEST_BAR = 5;

/** How far a work is, how fast it goes, and when it will end. */
export class Progress {
  readonly #marks: { time: number; done: number }[];

  /**
   * @param done How much of it is done before it begins.
   * @param time When it begins, in ms from any start.
   */
  constructor(readonly work: Work, public done: number, time: number) {
    this.#marks = [{ time, done }];
  }

  /** Takes note that at this time so much is done. It may be less than before, where a run goes back. */
  update(done: number, time: number): void {
    if (done < this.done) this.#marks.length = 0;
    this.done = done;
    const last = this.#marks.at(-1);
    if (last && time - last.time < MARK_MS && done < this.work.total) return;
    this.#marks.push({ time, done });
    while (time - this.#marks[0]!.time > WINDOW_MS && this.#marks.length > LEAST_MARKS) {
      this.#marks.shift();
    }
  }

  /** How much is done in a ms; 0 where that is not known yet. */
  get rate(): number {
    const [first, last] = [this.#marks[0]!, this.#marks.at(-1)!];
    return last.time > first.time ? (last.done - first.done) / (last.time - first.time) : 0;
  }

  /** `training 30/75 steps | 6.2 steps/min | ETA 7:15`. */
  line(): string {
    const [name, ...facts] = this.#parts();
    return `${name} ${facts.join(" | ")}`;
  }

  /** The same in at most so many columns, with a bar in its midst if there is room for one. */
  bar(columns: number): string {
    const [name, ...facts] = this.#parts();
    const text = facts.join(" | ");
    const width = Math.min(WIDEST_BAR, columns - name!.length - text.length - 4);
    if (width < NARROWEST_BAR) return this.line().slice(0, columns);
    const filled = "=".repeat(Math.floor(width * this.#share)).padEnd(width);
    return `${name} [${filled}] ${text}`;
  }

  get #share(): number {
    return this.work.total === 0 ? 1 : Math.min(1, this.done / this.work.total);
  }

  #parts(): string[] {
    const { name, total, unit } = this.work;
    const { rate } = this;
    const left = rate > 0 ? clock((total - this.done) / rate / 1000) : "-:--";
    return [
      name,
      unit === "bytes" ? this.#percentage() : `${this.#padded()}/${showAmount(total, unit)}`,
      ...(rate > 0 ? [showRate(rate, unit)] : []),
      `ETA ${left}`,
    ];
  }

  #percentage(): string {
    const percent = String(Math.floor(100 * this.#share)).padStart(3);
    return `${percent} % of ${showAmount(this.work.total, this.work.unit)}`;
  }

  #padded(): string {
    return String(this.done).padStart(String(this.work.total).length);
  }
}

/** `548.1 MB`, decimal, as disks and networks count; `75 steps`. */
export function showAmount(amount: number, unit: WorkUnit): string {
  return unit === "bytes" ? `${(amount / 1e6).toFixed(1)} MB` : `${amount} ${unit}`;
}

/** A rate in units per ms as `24.1 MB/s`, `3.0 steps/s` or, of what takes longer than a second, `6.2 steps/min`. */
function showRate(rate: number, unit: WorkUnit): string {
  const perSecond = 1000 * rate;
  if (unit === "bytes") return `${showAmount(perSecond, unit)}/s`;
  const [count, time] = perSecond === 0 || perSecond >= 1
    ? [perSecond, "s"]
    : [60 * perSecond, "min"];
  return `${count.toFixed(1)} ${unit}/${time}`;
}
