import { type Command, InvalidArgumentError, Option, type OptionValues } from "commander";
import {
  classicalDefaults,
  embeddedDefaults,
  type Setting,
  SETTINGS,
  type TrainConfig,
} from "./config.ts";

/**
 * Adds a flag for every setting.
 *
 * The values are what the user typed, turned into the setting's kind; `resolveConfig` checks them and
 * fills in the defaults, which the flags only mention.
 */
export function addSettings<Flags extends OptionValues>(
  command: Command<[], Flags>,
  settings: readonly Setting[] = SETTINGS,
): Command<[], Flags & Record<string, unknown>> {
  for (const setting of settings) {
    const { flag, kind, group } = setting;
    const heading = `${group}:`;
    if (kind === "boolean") {
      command.addOption(new Option(`--${flag}`, helpOf(setting)).helpGroup(heading));
      command.addOption(new Option(`--no-${flag}`).hideHelp());
    } else {
      const option = new Option(`--${flag} <${kind}>`, helpOf(setting)).helpGroup(heading);
      command.addOption(kind === "number" ? option.argParser(numberOf) : option);
    }
  }
  return command as unknown as Command<[], Flags & Record<string, unknown>>;
}

/** Meaning, what is allowed, and the default: "PPO steps to take (a whole number of 1 or more; default 100)". */
function helpOf({ name, flag, doc, allowed, kind }: Setting): string {
  const remarks = kind === "boolean" || allowed === "text" ? [] : [allowed];
  const [embedded, classical] = [embeddedDefaults, classicalDefaults]
    .map((defaults: Partial<TrainConfig>) => defaults[name]);
  if (embedded === true) {
    remarks.push(`default; --no-${flag} turns it off`);
  } else if (embedded !== undefined && embedded !== "" && embedded !== false) {
    const other = classical === undefined
      ? " without --model"
      : `, with --model ${classical === "" ? "none" : classical}`;
    remarks.push(`default ${embedded}` + (classical === embedded ? "" : other));
  }
  return remarks.length === 0 ? doc : `${doc} (${remarks.join("; ")})`;
}

function numberOf(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || Number.isNaN(value)) {
    throw new InvalidArgumentError("It must be a number.");
  }
  return value;
}
