import { Argument } from "commander";
import { wholeNumber } from "../../train/flag_values.ts";
import { programCommand } from "../../train/program.ts";
import workloads from "./workloads.json" with { type: "json" };

/** The flags of `deno task bench`. */
export const command = programCommand("bench", "Time PPO steps on random models of fixed sizes.")
  .addArgument(
    new Argument("[names...]", "workloads; large is for graphics cards")
      .choices(Object.keys(workloads))
      .default(["small", "gpt2"]),
  )
  .option("--steps <number>", "steps that are timed, of each", wholeNumber(1), 3)
  .option("--json", "print one JSON value a line instead of text")
  .addHelpText("after", "\nExample:\n  deno task bench small --steps 5");
