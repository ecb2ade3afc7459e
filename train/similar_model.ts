import { levenshteinDistance } from "deno-std/text/mod.js";
import { basename, dirname, join, normalize } from "node:path";

/** Models that this project is made for or comes with. */
const KNOWN = [
  ...["gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl", "distilgpt2", "EleutherAI/gpt-neo-125M"],
  ...["gpt2", "gpt2-medium", "gpt2-large", "gpt2-xl"].map((name) => `openai-community/${name}`),
  ...["weights/review-gpt2", "weights/review-distilbert", "weights/review-judge"],
];

/** Longer names are not compared: it takes time, and no model's name is as long. */
const LONGEST = 200;

/**
 * The model that a name which stands for none may be a slip of: one of those that people mean, a run in `runs/`, or a
 * folder beside the one that was named.
 *
 * @param others What else such a name may mean, as rewards have names of their own.
 */
export async function similarModel(
  name: string,
  others: readonly string[] = [],
): Promise<string | undefined> {
  if (name.length > LONGEST) return undefined;
  return nearest(name.replace(/@[^@/]*$/, ""), [...others, ...KNOWN, ...await foldersNear(name)]);
}

/** The folder that a path where there is none may be a slip of: one in `runs/`, or beside the one that was named. */
export async function similarFolder(path: string): Promise<string | undefined> {
  if (path.length > LONGEST) return undefined;
  return nearest(normalize(path), await foldersNear(path));
}

function nearest(meant: string, candidates: readonly string[]): string | undefined {
  if (candidates.includes(meant)) return undefined; // nothing is wrong with the name
  const near = candidates
    .map((candidate) => ({ candidate, distance: distanceBetween(meant, candidate) }))
    .filter(({ candidate, distance }) => distance <= Math.max(2, basename(candidate).length / 4))
    .sort((a, b) => a.distance - b.distance);
  return near[0]?.candidate;
}

/** Letters that differ, of the whole names or, where the owner or the folder was left out, of the last part. */
function distanceBetween(name: string, candidate: string): number {
  const [a, b] = [name, candidate].map((each) => each.toLowerCase());
  const whole = levenshteinDistance(a!, b!);
  return a!.includes("/") ? whole : Math.min(whole, levenshteinDistance(a!, basename(b!)));
}

async function foldersNear(path: string): Promise<string[]> {
  return (await Promise.all(["runs", dirname(path)].map(foldersIn))).flat();
}

async function foldersIn(path: string): Promise<string[]> {
  try {
    const entries = await Array.fromAsync(Deno.readDir(path));
    return entries.filter(({ isDirectory }) => isDirectory).map(({ name }) => join(path, name));
  } catch {
    return []; // there is none, or it may not be read: a suggestion is not worth an error
  }
}
