import { styleText } from "node:util";
import { Progress, type Work } from "./progress.ts";

/** Between two drawings of a bar, and between two lines where there is none, in ms. */
const REDRAW_MS = 100;
const LINE_MS = 30_000;

/** Goes to the beginning of the line and deletes it: what a text begins with that a bar may be in the way of. */
export const CLEAR = "\r\x1b[K";

/** Looks of a line; none says anything that the words do not. */
export type LineStyle = "bold" | "dim" | "yellow" | "red" | "green";

/** Where a {@linkcode Screen} writes to. */
export interface ScreenTarget {
  /** Takes a line for standard output. */
  line(text: string): void;
  /** Takes a text for standard error, as it is. */
  write(text: string): void;
  /** Whether bars are drawn over themselves; elsewhere they are lines now and then. */
  isLive: boolean;
  hasColour: boolean;
  /** Whether bars and their lines are left out. */
  isQuiet: boolean;
  /** Columns that a line of standard output may take, at this moment; infinite where nothing is cut. */
  lineColumns(): number;
  /** Columns that a bar may take. */
  barColumns(): number;
  /** Time in ms from any start. */
  now(): number;
}

/** A work that a {@linkcode Screen} shows, until it is disposed of. */
export interface ShownWork extends Disposable {
  /** How much is done now, in the work's unit. */
  update(done: number): void;
}

/**
 * What a person sees of a program: lines of results on standard output, remarks on standard error, and below them, while
 * something takes long, one bar that says how far it is and when it will end.
 *
 * Nothing else may write to the terminal while a bar is shown, or begins with a text that deletes it.
 */
export class Screen {
  /** The newest is shown. */
  readonly #works: Progress[] = [];
  #shownAt = -Infinity;
  #isDrawn = false;

  constructor(readonly target: ScreenTarget) {}

  /** Columns that a line may take now; infinite where nothing is cut. */
  get columns(): number {
    return this.target.lineColumns();
  }

  /** A line of results. */
  line(text: string, style?: LineStyle): void {
    const { hasColour } = this.target;
    const styled = style && hasColour ? styleText(style, text, { validateStream: false }) : text;
    this.#above(() => this.target.line(styled));
  }

  /** A remark. */
  remark(text: string): void {
    this.#above(() => this.target.write(text + "\n"));
  }

  /** Shows a work, of which `done` was done before. */
  begin(work: Work, done = 0): ShownWork {
    const progress = new Progress(work, done, this.target.now());
    this.#works.push(progress);
    this.#shownAt = this.target.now();
    this.#draw();
    return {
      update: (done) => {
        progress.update(done, this.target.now());
        if (progress === this.#works.at(-1)) this.#show();
      },
      [Symbol.dispose]: () => {
        const at = this.#works.indexOf(progress);
        if (at < 0) return;
        this.#works.splice(at, 1);
        this.#clear();
        this.#draw();
      },
    };
  }

  /** A remark on a work, such as that it is done: left out where works are. */
  workRemark(text: string): void {
    if (!this.target.isQuiet) this.remark(text);
  }

  /** Draws the bar again, or writes its line, if it is time. */
  #show(): void {
    const { isLive, isQuiet } = this.target;
    const time = this.target.now();
    if (isQuiet) return;
    if (time - this.#shownAt < (isLive ? REDRAW_MS : LINE_MS)) return;
    this.#shownAt = time;
    const newest = this.#works.at(-1)!;
    if (isLive) this.#draw();
    else if (newest.done < newest.work.total) this.target.write(newest.line() + "\n");
  }

  #above(write: () => void): void {
    this.#clear();
    write();
    this.#draw();
  }

  #draw(): void {
    const newest = this.#works.at(-1);
    const { isLive, isQuiet } = this.target;
    if (!newest || !isLive || isQuiet) return;
    // A text in the last column would make some terminals begin a new line.
    this.target.write(CLEAR + newest.bar(this.target.barColumns() - 1));
    this.#isDrawn = true;
  }

  #clear(): void {
    if (this.#isDrawn) this.target.write(CLEAR);
    this.#isDrawn = false;
  }
}
