/**
 * Bradley-Terry loss of one pair, `-log sigmoid(chosen - rejected) + centring (chosen + rejected)^2`, in f64.
 *
 * Source: Ouyang et al. 2022 (arXiv:2203.02155) equation 1.
 */
export function pairLoss(chosen: number, rejected: number, centring = 0): number {
  const margin = chosen - rejected;
  const surprise = margin > -700 ? Math.log1p(Math.exp(-margin)) : -margin; // exp() ends at 709
  return surprise + centring * (chosen + rejected) ** 2;
}

/** Gradient of {@linkcode pairLoss} with respect to the two scores. */
export function pairLossGradient(
  chosen: number,
  rejected: number,
  centring = 0,
): { chosen: number; rejected: number } {
  const wrong = 1 / (1 + Math.exp(chosen - rejected));
  const pull = 2 * centring * (chosen + rejected);
  return { chosen: pull - wrong, rejected: pull + wrong };
}
