import type { TrainerCallback } from "./callbacks.ts";
import type { LivePage } from "./live_page.ts";
import type { LiveCommand, LiveState } from "./live_protocol.ts";
import type { PpoTrainer } from "./ppo_trainer.ts";

/** What the page cannot do by itself. */
export interface SteeringOptions {
  /** Shown on the page. */
  name: string;
  /** Writes a checkpoint and returns its folder. */
  save(trainer: PpoTrainer): Promise<string>;
  /** Ends training after the step, as an interruption does. */
  stop(): void;
}

/** What was set by hand, for checkpoints. */
interface Steered {
  beta?: number;
  klTarget?: number;
  learningRate?: number;
}

/** Samples of a step that are shown. */
const SHOWN_SAMPLES = 8;

/**
 * Shows training on a live page and follows its commands, between steps.
 *
 * What was set by hand is part of the checkpoint: a resumed run goes on with it.
 */
export function steering(
  page: LivePage,
  { name, save, stop }: SteeringOptions,
): TrainerCallback {
  let steered: Steered = {};
  let totalSteps = 0;
  let learningRate = 0;
  let phase: LiveState["phase"] = "running";
  let checkpoint: string | undefined;
  let problem: string | undefined;

  const show = ({ steps, run: { controller } }: PpoTrainer) =>
    page.push({
      type: "state",
      state: {
        phase,
        step: steps,
        totalSteps,
        beta: controller.beta,
        klTarget: controller.target,
        learningRate,
        ...(checkpoint !== undefined && { checkpoint }),
        ...(problem !== undefined && { problem }),
      },
    });

  const apply = (trainer: PpoTrainer, { beta, klTarget, learningRate: rate }: Steered) => {
    trainer.run.controller.steer({
      ...(beta !== undefined && { beta }),
      ...(klTarget !== undefined && { target: klTarget }),
    });
    if (rate !== undefined) trainer.learningRate = learningRate = rate;
  };

  const follow = async (trainer: PpoTrainer, command: LiveCommand): Promise<void> => {
    switch (command.do) {
      case "pause":
        if (phase === "running") phase = "paused";
        return;
      case "resume":
        if (phase === "paused") phase = "running";
        return;
      case "stop":
        phase = "finishing";
        return stop();
      case "save":
        checkpoint = await save(trainer);
        return;
      case "complete":
        return page.push(await completions(trainer, command.prompt));
      case "set-beta":
        return apply(trainer, { beta: command.value }); // the controller keeps it
      case "set-target":
        steered = { ...steered, klTarget: command.value };
        return apply(trainer, steered);
      case "set-learning-rate":
        steered = { ...steered, learningRate: command.value };
        return apply(trainer, steered);
    }
  };

  /** Follows all commands; while the run is paused, waits for more. */
  const followAll = async (trainer: PpoTrainer): Promise<void> => {
    for (;;) {
      for (const command of await page.takeCommands()) {
        try {
          problem = undefined;
          await follow(trainer, command);
        } catch (error) {
          problem = (error as Error).message;
        }
        show(trainer);
      }
      if (phase !== "paused") return;
      await page.waitForCommand();
    }
  };

  return {
    name: "steering",
    state: () => steered,
    restore(state) {
      steered = { ...state as Steered, ...steered }; // what was set since then outlives a rollback
    },
    onTrainBegin(trainer, { steps }) {
      totalSteps = trainer.steps + steps;
      learningRate = trainer.config.learningRate;
      apply(trainer, steered);
      page.push({ type: "run", name, settings: { ...trainer.config }, steerable: true });
      show(trainer);
    },
    onStepBegin: followAll,
    async onStepEnd(trainer, { metrics, samples }) {
      learningRate = metrics["ppo/learning_rate"];
      page.push({ type: "step", metrics });
      page.push({ type: "samples", samples: samples.slice(0, SHOWN_SAMPLES) });
      show(trainer);
      await followAll(trainer);
    },
    onGuardEvent(_, { step, message }) {
      page.push({ type: "guard", step, message });
    },
    onCheckpoint(trainer, folder) {
      checkpoint = folder;
      show(trainer);
    },
    onTrainEnd(trainer) {
      phase = "finished";
      show(trainer);
    },
  };
}

/** What policy and reference make of a prompt, with the same random numbers. */
async function completions({ run, steps }: PpoTrainer, prompt: string) {
  const { maxLength, maxNewTokens = maxLength, temperature, topK, topP, seed } = run.config;
  const room = maxLength - run.policy.tokenizer.encode(prompt).length;
  const options = {
    maxNewTokens: Math.max(1, Math.min(maxNewTokens, room)),
    temperature,
    topK,
    topP,
    seed,
    step: steps,
  };
  const policy = await run.policy.generate([prompt], options);
  const reference = await run.reference.generate([prompt], options);
  return {
    type: "answer" as const,
    prompt,
    policy: policy.texts[0],
    reference: reference.texts[0],
    step: steps,
  };
}
