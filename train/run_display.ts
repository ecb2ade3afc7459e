/** What a training run shows while it goes on: lines, tables and a bar for people, events for programs. */

import { progress, SAMPLES_SHOWN, showSample, type TrainerCallback } from "./callbacks.ts";
import type { Output } from "./program.ts";
import type { Screen, ShownWork } from "./screen.ts";

/** The lines and events of training; samples of every `sampleEvery`-th step, 0 for none. */
export function showTraining(out: Output, sampleEvery: number): TrainerCallback[] {
  const columns = () => out.screen.columns;
  const hasSamples = (step: number) => sampleEvery > 0 && step % sampleEvery === 0;
  return [
    progress(out.say, { columns, warn: (line) => out.result(line, "yellow") }),
    ...(sampleEvery > 0 ? [showSample(sampleEvery, out.say, { columns })] : []),
    {
      onStepEnd(_, { metrics, samples }) {
        const { step } = metrics;
        out.emit({ event: "step", step, metrics });
        if (!hasSamples(step)) return;
        for (const { tokens: _, ...sample } of samples.slice(0, SAMPLES_SHOWN)) {
          out.emit({ event: "sample", ...sample });
        }
      },
      onGuardEvent: (_, event) => out.emit({ event: "guard", ...event }),
      onCheckpoint: ({ steps }, folder) => out.emit({ event: "checkpoint", step: steps, folder }),
    },
  ];
}

/** The bar of training: shown from its beginning to its end, or until it is disposed of. */
export function trainingBar(screen: Screen): TrainerCallback & Disposable {
  let bar: ShownWork | undefined;
  const end = () => {
    bar?.[Symbol.dispose]();
    bar = undefined;
  };
  return {
    onTrainBegin(trainer, { steps }) {
      const total = trainer.steps + steps;
      bar = screen.begin({ name: "training", unit: "steps", total }, trainer.steps);
    },
    onStepEnd: (trainer) => bar?.update(trainer.steps),
    onRollback: (trainer) => bar?.update(trainer.steps),
    onTrainEnd: end,
    [Symbol.dispose]: end,
  };
}

/** Does an evaluation of so many responses, with a bar that its `onProgress` moves. */
export async function withEvaluationBar<T>(
  screen: Screen,
  responses: number,
  evaluate: (options: { responses: number; onProgress: (done: number) => void }) => Promise<T>,
): Promise<T> {
  using bar = screen.begin({ name: "evaluation", unit: "responses", total: responses });
  return await evaluate({ responses, onProgress: (done) => bar.update(done) });
}
