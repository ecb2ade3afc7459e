import { assert, assertEquals } from "@std/assert";
import { HeuristicReward } from "../../reward/heuristic.ts";

const score = (response: string, prompt = "The movie was") =>
  new HeuristicReward().score([{ prompt, response, text: prompt + response, ended: true }])[0];

Deno.test("HeuristicReward counts words over length", () => {
  assertEquals(score(" a good and lovely film"), (10 * 2) / 5);
  assertEquals(score(" a bad and ugly film"), (10 * -2) / 5);
  assertEquals(score(" good at first but then it was bad in the end"), 0);
  assertEquals(score(" one two three four five six seven eight nine good"), 1);
});

Deno.test("HeuristicReward takes short responses for five words", () => {
  assertEquals(score(" good"), 2);
  assertEquals(score(" good good good good good"), 10);
});

Deno.test("HeuristicReward counts strong and weak words alike", () => {
  assertEquals(score(" superb"), score(" nice"));
  assertEquals(score(" horrible"), score(" sad"));
});

Deno.test("HeuristicReward stays within [-10, 10]", () => {
  assertEquals(score(" wonderful".repeat(50)), 10);
  assertEquals(score(" awful".repeat(50)), -10);
  assertEquals(score(" very good".repeat(50)), 7.5);
  assertEquals(score(" not very good".repeat(50)), -5);
});

Deno.test("HeuristicReward is 0 without words", () => {
  for (const response of ["", "   ", ".....", "1234 %&"]) assertEquals(score(response), 0);
});

Deno.test("HeuristicReward scores the response, not the prompt", () => {
  assertEquals(score(" about a dog", "This wonderful, wonderful film is"), 0);
});

Deno.test("HeuristicReward reads words whatever their case and what surrounds them", () => {
  const expected = score(" good");
  for (const response of [" GOOD", " Good!", ' "good"', "good.", " 'good'", "\ngood\t"]) {
    assertEquals(score(response), expected);
  }
  assertEquals(score(" goodish"), 0);
});

Deno.test("HeuristicReward keeps apostrophes inside words, straight or curly", () => {
  // If "there's" were two words, six would divide instead of five.
  assertEquals(score(" there's a good film here"), 2);
  assertEquals(score(" there’s a good film here"), 2);
});

Deno.test("HeuristicReward lets a negation turn the next word of the list, three words on at most", () => {
  for (const response of [" not good", " isn't that good", " isn’t good", " never a very good"]) {
    assert(score(response) < 0, response);
  }
  assertEquals(score(" not good"), -score(" good"));
  assertEquals(score(" never bad"), score(" good"));
  assertEquals(score(" not a film of much good"), 0); // out of reach: -1 and 1
  assertEquals(score(" not good good"), 0); // one negation, one word
});

Deno.test("HeuristicReward keeps a negation to its clause", () => {
  assertEquals(score(" not for me, good"), 0); // -1 + 1
  assertEquals(score(" not mine but good"), 0);
  assertEquals(score(" not good but bad"), -4);
});

Deno.test("HeuristicReward counts a negation that turns nothing as negative", () => {
  assertEquals(score(" it does not work"), -2);
  assertEquals(score(" nothing"), -2);
  assertEquals(score(" no no no no no"), -10);
});

Deno.test("HeuristicReward weighs a word by the one before it", () => {
  assertEquals(score(" very good"), 3);
  assertEquals(score(" slightly good"), 1);
  assertEquals(score(" very bad"), -3);
  assertEquals(score(" not very good"), -3);
  assertEquals(score(" very"), 0);
  assertEquals(score(" very much good"), 2); // not right before it
});

Deno.test("HeuristicReward does not take an object's own names for words of the list", () => {
  assertEquals(score(" constructor toString valueOf __proto__ hasOwnProperty"), 0);
});

Deno.test("HeuristicReward scores each sample on its own, in order", () => {
  const samples = ["good", "bad", ""].map((response) => ({
    prompt: "",
    response,
    text: response,
    ended: true,
  }));
  assertEquals(new HeuristicReward().score(samples), [2, -2, 0]);
  assertEquals(new HeuristicReward().score([]), []);
});

Deno.test("HeuristicReward tells praise from blame", () => {
  const praise = score(" absolutely fantastic and I loved every moment of it");
  const blame = score(" boring, a waste of time with terrible acting");
  assert(praise > 0 && blame < 0);
});
