import { InvalidArgumentError } from "commander";

/** Parser of a flag's value: a whole number of `min` or more. */
export function wholeNumber(min: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (text.trim() === "" || !Number.isSafeInteger(value) || value < min) {
      throw new InvalidArgumentError(`It must be a whole number of ${min} or more.`);
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
