import type { GuardAction, RuleName } from "./guard_rules.ts";

/** What the guard saw and did, as a line of `events.jsonl` has it. */
export interface GuardEvent {
  /** The step that was looked at, counted from 1. */
  step: number;
  /** The rule that tripped. */
  rule: RuleName;
  /** What followed. */
  action: GuardAction;
  /** For people: what was seen, and what followed. */
  message: string;
  /** The figure, and the limit that it crossed; the unit is that of the metric `guard/<rule>`. */
  value: number;
  /** The limit, in the same unit. */
  threshold: number;
  /** The step that a rollback went back to. */
  backTo?: number;
}

/** The guard ended training. */
export class GuardError extends Error {
  /** The name of the class. */
  override name = "GuardError";

  /** Ends training because of an event. */
  constructor(readonly event: GuardEvent, message: string) {
    super(message);
  }
}
