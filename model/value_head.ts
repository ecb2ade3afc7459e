import { columnSum, columnSumPartials } from "../kernels/column_sum.ts";
import { matmul } from "../kernels/matmul.ts";
import type { Tensor } from "../kernels/runtime/mod.ts";
import { gradsOf, type LayerContext } from "./layers.ts";
import type { ParameterSpec } from "./params.ts";

const NAME = "v_head.summary";

/** The value head's parameters under the names that TRL gives them. */
export function valueHeadParameters(C: number): ParameterSpec[] {
  return [{ name: `${NAME}.weight`, shape: [1, C] }, { name: `${NAME}.bias`, shape: [1] }];
}

/** One linear layer on the trunk: hidden states (N, C) to values (N), in the slot `values`. */
export function valueForward({ pass, values, arena }: LayerContext, hidden: Tensor): Tensor {
  const out = arena.take("values", [hidden.rowCount, 1]);
  const [b, bias] = [values.get(`${NAME}.weight`), values.get(`${NAME}.bias`)];
  matmul(pass, { a: hidden, b, bias, out }, { layout: "nt" });
  return out.view([hidden.rowCount]);
}

/** Backward of {@linkcode valueForward}: adds to `dhidden` (N, C) and to the head's gradients. */
export function valueBackward(
  context: LayerContext,
  { hidden, dvalues, dhidden }: { hidden: Tensor; dvalues: Tensor; dhidden: Tensor },
): void {
  const { pass, values, arena } = context;
  const grads = gradsOf(context);
  const N = hidden.rowCount;
  const dout = dvalues.view([N, 1]);
  matmul(pass, { a: dout, b: values.get(`${NAME}.weight`), out: dhidden }, { accumulate: true });
  grads.addProduct(pass, `${NAME}.weight`, { dout, x: hidden });
  const partials = arena.take("scratch.columns", [columnSumPartials(N), 1]);
  columnSum(pass, { x: dout, out: grads.get(`${NAME}.bias`), partials });
}
