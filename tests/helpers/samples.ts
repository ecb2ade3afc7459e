import type { Sample } from "../../reward/reward.ts";

/** Whole responses to one prompt. */
export function samplesOf(...responses: string[]): Sample[] {
  const prompt = "It was";
  return responses.map((response) => ({ prompt, response, text: prompt + response, ended: true }));
}
