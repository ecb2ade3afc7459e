import type { LiveEvent } from "./live_protocol.ts";
import type { RunRecord } from "./run_reader.ts";

/** Turns what a run folder holds into the events of the live page, each only once. */
export class FolderViewer {
  #steps = 0;
  #guardEvents = 0;
  #hasBegun = false;

  /** What is new in `run` since the last call. */
  events({ name, settings, metrics, samples, events }: RunRecord): LiveEvent[] {
    // Fewer steps than before: a resumed run was cut back. The guard does so too, and says it.
    const isCutBack = metrics.length < this.#steps ||
      events.slice(this.#guardEvents).some(({ backTo }) => backTo !== undefined);
    const isNew = !this.#hasBegun || isCutBack;
    if (isNew) [this.#steps, this.#guardEvents] = [0, 0];
    const newSteps = metrics.slice(this.#steps);
    const newEvents = events.slice(this.#guardEvents);
    const found: LiveEvent[] = [
      ...(isNew ? [{ type: "run" as const, name, settings, steerable: false }] : []),
      ...newSteps.map((row) => ({ type: "step" as const, metrics: row })),
      ...newEvents.map(({ step, message }) => ({
        type: "guard" as const,
        step: Number(step),
        message: String(message),
      })),
    ];
    const last = metrics.at(-1);
    if (isNew || newSteps.length > 0) {
      const step = Number(last?.step ?? 0);
      const totalSteps = Number(settings.steps);
      found.push(
        { type: "samples", samples: samples.filter((sample) => sample.step === step).slice(0, 8) },
        {
          type: "state",
          state: {
            phase: step < totalSteps ? "running" : "finished",
            step,
            totalSteps,
            beta: Number(last?.["objective/kl_coef"] ?? settings.klCoef),
            klTarget: Number(settings.klTarget),
            learningRate: Number(last?.["ppo/learning_rate"] ?? settings.learningRate),
          },
        },
      );
    }
    this.#hasBegun = true;
    this.#steps = metrics.length;
    this.#guardEvents = events.length;
    return found;
  }
}
