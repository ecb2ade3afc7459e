import type { PpoStats, TrainerCallback } from "./callbacks.ts";
import { Delivery, type DeliveryOptions } from "./delivery.ts";
import type { PpoTrainer } from "./ppo_trainer.ts";

/**
 * A callback that keeps metrics elsewhere. Dispose of it when training has ended in whichever way: that delivers what is
 * left.
 */
export interface MetricSink extends TrainerCallback, AsyncDisposable {}

/** Where a {@linkcode metricSink} takes what it is told. */
export interface MetricService<Item> {
  /** What messages call it: "MLflow at http://127.0.0.1:5000". */
  readonly label: string;
  /** Notes what the run is. */
  begin?(trainer: PpoTrainer): void;
  /** What is kept of a step. */
  record(stats: PpoStats): Item;
  /** Delivers records; throws a `ServiceFault` where that fails. */
  send(items: readonly Item[], stop: AbortSignal): Promise<void>;
  /** Tells that training has ended; called once, when everything else was delivered or given up. */
  end?(isFinished: boolean, stop: AbortSignal): Promise<void>;
}

/** Milliseconds that the last word may take. */
const LAST_WORD = 3000;

/** Delivers every step to a service, beside training. */
export function metricSink<Item>(
  service: MetricService<Item>,
  options: DeliveryOptions,
): MetricSink {
  const delivery = new Delivery<Item>(
    service.label,
    (items, stop) => service.send(items, stop),
    options,
  );
  let isOpen = false;
  const end = async (isFinished: boolean) => {
    if (!isOpen) return;
    isOpen = false;
    await delivery.flush();
    // The metrics are there, or it was said that they are not: a lost last word changes nothing.
    await service.end?.(isFinished, AbortSignal.timeout(LAST_WORD)).catch(() => {});
  };
  return {
    onTrainBegin(trainer) {
      isOpen = true;
      service.begin?.(trainer);
    },
    onStepEnd: (_, stats) => delivery.push(service.record(stats)),
    onTrainEnd: () => end(true),
    [Symbol.asyncDispose]: () => end(false),
  };
}

/** The metrics that are finite numbers, but for the step. */
export function finiteMetrics({ metrics }: PpoStats): [name: string, value: number][] {
  return Object.entries(metrics).filter(([name, value]) =>
    name !== "step" && Number.isFinite(value)
  );
}
