import { assert, assertEquals, assertRejects, assertThrows } from "@std/assert";
import { type HttpOptions, HttpReward } from "../../reward/http.ts";
import { RewardError, type Sample } from "../../reward/reward.ts";
import { samplesOf } from "../helpers/samples.ts";

type Answer = (request: Request, samples: Sample[]) => Response | Promise<Response>;

/** Scores each response by its length. */
const lengths = (samples: Sample[]) => samples.map(({ response }) => response.length);
const good: Answer = (_, samples) => Response.json({ scores: lengths(samples) });
const status = (code: number, headers: HeadersInit = {}): Answer => () =>
  new Response("out of order", { status: code, headers });
/** Says nothing for a while. */
const silent = (ms: number): Answer => async (_, samples) => {
  await new Promise((resolve) => setTimeout(resolve, ms));
  return Response.json({ scores: lengths(samples) });
};
const text = (body: string): Answer => () => new Response(body);

/** Runs a test against a service on this machine that answers its first requests from a list, later ones well. */
async function withService(
  answers: readonly Answer[],
  test: (
    url: string,
    requests: { samples: Sample[]; headers: Headers; at: number }[],
  ) => Promise<void>,
): Promise<void> {
  const requests: { samples: Sample[]; headers: Headers; at: number }[] = [];
  await using server = Deno.serve(
    { hostname: "127.0.0.1", port: 0, onListen() {} },
    async (request) => {
      const answer = answers[requests.length] ?? good;
      const { samples } = await request.json();
      requests.push({ samples, headers: request.headers, at: performance.now() });
      return await answer(request, samples);
    },
  );
  await test(`http://127.0.0.1:${server.addr.port}/score`, requests);
}

const SAMPLES = samplesOf("a", "bb", "ccc", "dddd", "eeeee");
const QUICK: HttpOptions = { backoffMs: 10, retries: 2, concurrency: 1 };

Deno.test("HttpReward posts samples as JSON, and returns the scores in their order", () =>
  withService([], async (url, requests) => {
    const headers = { "X-Key": "secret" };
    assertEquals(await new HttpReward(url, { headers }).score(SAMPLES), [1, 2, 3, 4, 5]);
    assertEquals(requests.length, 1);
    assertEquals(requests[0]!.samples, SAMPLES);
    assertEquals(requests[0]!.headers.get("Content-Type"), "application/json");
    assertEquals(requests[0]!.headers.get("X-Key"), "secret");
    assertEquals(await new HttpReward(url).score([]), []);
  }));

Deno.test("HttpReward splits samples into requests, some at a time", async () => {
  let open = 0;
  let most = 0;
  const slow: Answer = async (request, samples) => {
    most = Math.max(most, ++open);
    const response = await silent(30)(request, samples);
    open--;
    return response;
  };
  const samples = samplesOf(...Array.from({ length: 11 }, (_, i) => "x".repeat(i)));
  await withService(Array(6).fill(slow), async (url, requests) => {
    const reward = new HttpReward(url, { batchSize: 2, concurrency: 3 });
    assertEquals(await reward.score(samples), samples.map((_, i) => i));
    assertEquals(requests.map(({ samples }) => samples.length).toSorted(), [1, 2, 2, 2, 2, 2]);
    assertEquals(most, 3);
  });
});

Deno.test("HttpReward sends the name and password of its URL as basic authorization", () =>
  withService([], async (url, requests) => {
    await new HttpReward(url.replace("//", "//me:p%40ss@") + "?key=1").score(SAMPLES);
    assertEquals(requests[0]!.headers.get("Authorization"), `Basic ${btoa("me:p@ss")}`);
  }));

for (
  const [what, answer] of Object.entries({
    "status 500": status(500),
    "status 429": status(429),
    "status 503 with a Retry-After that means nothing": status(503, { "Retry-After": "soon" }),
  })
) {
  Deno.test(`HttpReward asks again after ${what}, ever later`, () =>
    withService([answer, answer], async (url, requests) => {
      assertEquals(await new HttpReward(url, QUICK).score(SAMPLES), [1, 2, 3, 4, 5]);
      const [first, second, third] = requests.map(({ at }) => at);
      assertEquals(requests.length, 3);
      assert(second! - first! >= 9 && third! - second! >= 19); // 10 ms and 20, by whole milliseconds
    }));
}

Deno.test("HttpReward asks again after an answer that breaks off", async () => {
  const body = '{"scores": [1]}';
  const head = `HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: ${body.length}\r\n\r\n`;
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const serve = async () => {
    for (const sent of [head + body.slice(0, 8), "", head + body]) {
      using connection = await listener.accept();
      await connection.read(new Uint8Array(4096));
      await connection.write(new TextEncoder().encode(sent));
    }
  };
  const reward = new HttpReward(`http://127.0.0.1:${listener.addr.port}/`, QUICK);
  const [scores] = await Promise.all([reward.score(SAMPLES.slice(0, 1)), serve()]);
  assertEquals(scores, [1]);
});

Deno.test("HttpReward waits as long as Retry-After says, in seconds or until a date", async () => {
  const soon = () => new Date(Date.now() + 2000).toUTCString(); // without its fraction of a second
  for (const [code, value] of [[429, () => "1"], [503, soon]] as const) {
    const busy: Answer = () =>
      new Response("busy", { status: code, headers: { "Retry-After": value() } });
    await withService([busy], async (url, requests) => {
      await new HttpReward(url, QUICK).score(SAMPLES);
      const [first, second] = requests.map(({ at }) => at);
      assert(second! - first! >= 950, `${second! - first!} ms`);
    });
  }
});

Deno.test("HttpReward asks again where no answer comes in time, and at last gives up", () =>
  withService([silent(300), silent(300)], async (url, requests) => {
    const reward = new HttpReward(url, { ...QUICK, retries: 1, timeoutMs: 50 });
    await assertRejects(
      () => reward.score(SAMPLES),
      RewardError,
      `Cannot use the reward http at ${url}: for samples 0 to 4 of 5 it did not answer within 50 ms, 2 times`,
    );
    assertEquals(requests.length, 2);
    assertEquals(await reward.score(SAMPLES), [1, 2, 3, 4, 5]);
  }));

for (
  const [what, answer, says] of [
    ["status 400", status(400), 'it answered with status 400 "out of order"'],
    ["status 404", status(404), "it answered with status 404"],
    [
      "a Retry-After of days",
      status(503, { "Retry-After": "86400" }),
      "wants to be asked again in 86400 s",
    ],
    ["what is not JSON", text("<html>"), 'its answer is not JSON: "<html>"'],
    ["half of a JSON text", text('{"scores": [1, 2'), "its answer is not JSON"],
    ["NaN", text('{"scores": [NaN, 1, 1, 1, 1]}'), "its answer is not JSON"],
    ["nothing", text(""), 'its answer is not JSON: ""'],
    ["null", text("null"), "its answer has no list of scores: "],
    ["no scores", text("{}"), 'its answer has no list of scores: "{}"'],
    ["too few scores", text('{"scores": [1, 2]}'), "it gave 2 scores"],
    ["too many scores", text(`{"scores": [${Array(6).fill(1)}]}`), "it gave 6 scores"],
  ] as const
) {
  Deno.test(`HttpReward refuses ${what} at once`, () =>
    withService([answer], async (url, requests) => {
      const error = await assertRejects(
        () => new HttpReward(url, QUICK).score(SAMPLES),
        RewardError,
      );
      const { message } = error;
      assert(message.startsWith(`Cannot use the reward http at ${url}: for samples 0 to 4 of 5 `));
      assert(message.includes(says), message);
      assertEquals(requests.length, 1);
    }));
}

for (const bad of ["null", '"1"', "1e999", "[1]"]) {
  Deno.test(`HttpReward refuses the score ${bad}, and names the sample`, () =>
    withService([good, text(`{"scores": [3, ${bad}]}`)], async (url) => {
      const reward = new HttpReward(url, { ...QUICK, batchSize: 2 });
      await assertRejects(
        () => reward.score(SAMPLES.slice(0, 4)),
        RewardError,
        "the score of sample 3 is",
      );
    }));
}

Deno.test("HttpReward stops everything with the first failure", () =>
  withService([status(400), silent(2000)], async (url, requests) => {
    const started = performance.now();
    const reward = new HttpReward(url, { ...QUICK, concurrency: 2, batchSize: 1 });
    await assertRejects(() => reward.score(SAMPLES), RewardError, "sample");
    assert(performance.now() - started < 1500, "the other request was waited for");
    assertEquals(requests.length, 2);
  }));

Deno.test("HttpReward names the place, without the secrets in its URL, where nobody listens", async () => {
  const free = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = free.addr;
  free.close();
  const reward = new HttpReward(`http://me:word@127.0.0.1:${port}/score?key=hidden`, QUICK);
  const { message } = await assertRejects(() => reward.score(SAMPLES), RewardError);
  assert(
    message.includes(
      `http at http://127.0.0.1:${port}/score: for samples 0 to 4 of 5 it broke off`,
    ),
  );
  assert(!/me|word|hidden/.test(message.replace("samples", "").replace("times", "")), message);
});

Deno.test("HttpReward says how to permit the place", async () => {
  const reward = new HttpReward("https://scores.example:8443/x?key=hidden", QUICK);
  await assertRejects(
    () => reward.score(SAMPLES),
    RewardError,
    "Deno may not reach it; start it with --allow-net=scores.example:8443",
  );
});

Deno.test("HttpReward refuses URLs and options that cannot be", () => {
  for (const url of ["scores", "ftp://a/b", "file:///etc/passwd", ""]) {
    assertThrows(() => new HttpReward(url), RewardError, "its URL is not one of http or https");
  }
  for (
    const options of [{ timeoutMs: 0 }, { retries: -1 }, { batchSize: 0.5 }, { concurrency: 0 }]
  ) {
    assertThrows(() => new HttpReward("http://a/", options), RangeError, "Cannot use ");
  }
});

Deno.test("HttpReward does not read an answer that has no end", () =>
  withService([
    () => {
      const piece = new Uint8Array(2 ** 20).fill(0x20);
      return new Response(new ReadableStream({ pull: (stream) => stream.enqueue(piece) }));
    },
  ], async (url, requests) => {
    const score = () => new HttpReward(url, QUICK).score(SAMPLES);
    await assertRejects(score, RewardError, "its answer is longer than 16777216 bytes");
    assertEquals(requests.length, 1); // another try would not end either
  }));
