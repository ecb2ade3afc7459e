/** The heads that turn one hidden state of each text into a number for each label. */

import { reluBackward, reluForward } from "../kernels/relu.ts";
import type { Tensor } from "../kernels/runtime/mod.ts";
import { type LayerContext, linear, linearBackward } from "./layers.ts";
import { linearParameters, type ParameterSpec } from "./params.ts";

/** A head on the hidden states (B, C) of B texts. */
export interface ClassifierHead {
  /** Which token's hidden state it reads. */
  readonly token: "first" | "last";
  readonly parameters: readonly ParameterSpec[];
  /** The logits (B, labels), in the slot `logits`. */
  forward(context: LayerContext, pooled: Tensor): Tensor;
  /** Overwrites `dpooled` (B, C); adds to the gradients of the head's parameters. */
  backward(
    context: LayerContext,
    tensors: { pooled: Tensor; dlogits: Tensor; dpooled: Tensor },
  ): void;
}

/** DistilBERT's: two linear layers with a rectifier between them, on the state of [CLS]. */
export function distilbertHead(C: number, labels: number): ClassifierHead {
  const [first, second] = ["pre_classifier", "classifier"];
  const rectified = ({ arena }: LayerContext, B: number) => arena.take("rectified", [B, C]);
  return {
    token: "first",
    parameters: [
      ...linearParameters(first, { inputs: C, outputs: C }),
      ...linearParameters(second, { inputs: C, outputs: labels }),
    ],
    forward(context, pooled) {
      const { pass, arena } = context;
      const B = pooled.rowCount;
      const x = rectified(context, B);
      linear(context, { name: first, x: pooled, out: x });
      reluForward(pass, { x });
      const logits = arena.take("logits", [B, labels]);
      linear(context, { name: second, x, out: logits });
      return logits;
    },
    backward(context, { pooled, dlogits, dpooled }) {
      const { pass, arena } = context;
      const B = pooled.rowCount;
      const out = rectified(context, B);
      const dout = arena.take("drectified", [B, C]);
      linearBackward(context, { name: second, x: out, dout: dlogits, dx: dout });
      reluBackward(pass, { out, dout });
      linearBackward(context, { name: first, x: pooled, dout, dx: dpooled });
    },
  };
}

/** GPT-2's: one linear layer without a bias, on the state of the last token, which has seen all others. */
export function scoreHead(C: number, labels: number): ClassifierHead {
  const name = "score";
  const [weight] = linearParameters(name, { inputs: C, outputs: labels });
  return {
    token: "last",
    parameters: [weight],
    forward(context, pooled) {
      const logits = context.arena.take("logits", [pooled.rowCount, labels]);
      linear(context, { name, x: pooled, out: logits });
      return logits;
    },
    backward(context, { pooled, dlogits, dpooled }) {
      linearBackward(context, { name, x: pooled, dout: dlogits, dx: dpooled });
    },
  };
}
