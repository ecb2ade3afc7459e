import { Command, InvalidArgumentError, Option } from "commander";
import { SETTINGS } from "./config.ts";

/** A command whose options are `--config` and settings by name. */
export type SettingsCommand = Command<[], { config?: string } & Record<string, unknown>>;

/**
 * A command with a flag for every setting, and `--config` for a file of them.
 *
 * The values are what the user typed, turned into the setting's kind; `resolveConfig` checks them.
 */
export function settingsCommand(name: string, description: string): SettingsCommand {
  const command = new Command(name)
    .description(description)
    .option("--config <file>", "settings from a TOML, YAML or JSON file; flags override it")
    .allowExcessArguments(false)
    .showSuggestionAfterError()
    .exitOverride((error) => Deno.exit(error.exitCode));
  for (const { flag, doc, allowed, kind } of SETTINGS) {
    const help = `${doc} (${allowed})`;
    if (kind === "boolean") {
      command.addOption(new Option(`--${flag}`, doc));
      command.addOption(new Option(`--no-${flag}`).hideHelp());
    } else {
      const option = new Option(`--${flag} <${kind}>`, help);
      command.addOption(kind === "number" ? option.argParser(numberOf) : option);
    }
  }
  return command as unknown as SettingsCommand;
}

function numberOf(text: string): number {
  const value = Number(text);
  if (text.trim() === "" || Number.isNaN(value)) throw new InvalidArgumentError("It must be a number.");
  return value;
}
