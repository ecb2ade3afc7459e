import { Screen, type ScreenTarget } from "../../train/screen.ts";

/** A screen that keeps what is written on it, in the order of writing, and a clock that stands still until it is moved. */
export function testScreen(
  target: Partial<Pick<ScreenTarget, "isLive" | "isQuiet" | "hasColour">> & { columns?: number } =
    {},
): { screen: Screen; written: string[]; clock: { time: number } } {
  const { columns = 80, ...kind } = target;
  const written: string[] = [];
  const clock = { time: 0 };
  const screen = new Screen({
    line: (text) => written.push(`${text}\n`),
    write: (text) => written.push(text),
    isLive: false,
    isQuiet: false,
    hasColour: false,
    lineColumns: () => columns,
    barColumns: () => columns,
    now: () => clock.time,
    ...kind,
  });
  return { screen, written, clock };
}
