import { InvalidArgumentError } from "commander";

/** The highest port of TCP. */
export const PORTS = 65_535;

/** Parser of a flag's value: a whole number of `min` or more, up to `max`. */
export function wholeNumber(min: number, max = Infinity): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !Number.isSafeInteger(value) || value < min || value > max) {
      const range = max === Infinity ? `of ${min} or more` : `from ${min} to ${max}`;
      throw new InvalidArgumentError(`It must be a whole number ${range}.`);
    }
    return value;
  };
}

/** Parser of a flag's value: a number above 0. */
export function positive(text: string): number {
  const value = Number(text);
  if (!(value > 0 && value < Infinity)) {
    throw new InvalidArgumentError("It must be a number above 0.");
  }
  return value;
}

/** Parser of a flag's value: a number of 0 or more. */
export function nonNegative(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= 0 && value < Infinity)) {
    throw new InvalidArgumentError("It must be a number of 0 or more.");
  }
  return value;
}

/** Parser of a flag's value: a number of 0 or more and below 1. */
export function share(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || !(value >= 0 && value < 1)) {
    throw new InvalidArgumentError("It must be a number of 0 or more and below 1.");
  }
  return value;
}
