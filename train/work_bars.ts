/** The long pieces of a training run, each with a bar. */

import type { TrainerCallback } from "./callbacks.ts";
import type { Screen, ShownWork } from "./screen.ts";

/** The bar of training: shown from the first step on, until it is disposed of. */
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
  evaluate: (onProgress: (done: number) => void) => Promise<T>,
): Promise<T> {
  using bar = screen.begin({ name: "evaluation", unit: "responses", total: responses });
  return await evaluate((done) => bar.update(done));
}
