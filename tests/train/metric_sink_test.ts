import { assert, assertEquals, assertMatch, assertRejects } from "@std/assert";
import { Delivery } from "../../train/delivery.ts";
import type { MetricSink } from "../../train/metric_sink.ts";
import { mlflow } from "../../train/mlflow.ts";
import { PpoTrainer } from "../../train/ppo_trainer.ts";
import type { PpoTrainerOptions } from "../../train/trainer_options.ts";
import { runSinks } from "../../train/run_sinks.ts";
import { Service, ServiceFault } from "../../train/service.ts";
import { trackio } from "../../train/trackio.ts";
import { listTree, withFolder } from "../helpers/folder.ts";
import { GPT2 } from "../helpers/goldens.ts";
import { withGpu } from "../helpers/gpu.ts";
import { runProgram } from "../helpers/program.ts";
import { QUICK_RUN } from "../helpers/runs.ts";

const SETTINGS: PpoTrainerOptions = {
  model: GPT2,
  reward: { name: "length", score: (samples) => samples.map((s) => s.response.length) },
  steps: 3,
  batchSize: 2,
  miniBatchSize: 2,
  epochs: 1,
  maxNewTokens: 4,
  maxLength: 16,
  guard: false,
};

/** A request as a server got it. */
interface Asked {
  path: string;
  headers: Headers;
  // deno-lint-ignore no-explicit-any
  body: any;
}

type Answer = (asked: Asked, count: number) => Response | Promise<Response>;

/** A server on this machine that notes what it is asked, and answers as it is told. */
function serve(answer: Answer) {
  const asked: Asked[] = [];
  const options = { hostname: "127.0.0.1", port: 0, onListen() {} };
  const server = Deno.serve(options, async (request) => {
    const { pathname, search } = new URL(request.url);
    const text = await request.text();
    const one = {
      path: pathname + search,
      headers: request.headers,
      body: text && JSON.parse(text),
    };
    asked.push(one);
    return answer(one, asked.length);
  });
  return {
    asked,
    url: `http://127.0.0.1:${server.addr.port}`,
    [Symbol.asyncDispose]: () => server.shutdown(),
  };
}

/** What MLflow answers, by its REST API 2.0. */
const MLFLOW: Answer = ({ path, body }) => {
  if (path.includes("get-by-name")) {
    return Response.json({ error_code: "RESOURCE_DOES_NOT_EXIST" }, { status: 404 });
  }
  if (path.endsWith("experiments/create")) return Response.json({ experiment_id: "7" });
  if (path.endsWith("runs/create")) {
    return Response.json({ run: { info: { run_id: `of ${body.experiment_id}` } } });
  }
  return Response.json({});
};

const TRACKIO: Answer = () => Response.json({ data: null });

/** What the training of {@linkcode SETTINGS} looks like from a sink's side. */
async function train(sink: MetricSink, { steps = 3, throwAfter = Infinity } = {}): Promise<void> {
  const stats = (step: number) => ({
    metrics: { step, "objective/kl": step / 10, "objective/entropy": NaN },
    samples: [],
    advantages: [],
    events: [],
  });
  const trainer = { config: { seed: 3, prompts: "" } };
  // deno-lint-ignore no-explicit-any
  const [told, any] = [sink as any, (value: unknown) => value as any];
  await told.onTrainBegin(any(trainer), { steps });
  for (let step = 1; step <= steps && step <= throwAfter; step++) {
    await told.onStepEnd(any(trainer), any(stats(step)));
    await new Promise((resolve) => setTimeout(resolve, 1)); // as a step waits for the GPU
  }
  if (throwAfter === Infinity) await told.onTrainEnd(any(trainer));
  await sink[Symbol.asyncDispose]();
}

Deno.test("mlflow() keeps a run with its settings and every metric of every step", () =>
  withGpu(async (gpu) => {
    await using server = serve(MLFLOW);
    await using sink = mlflow(`${server.url}/`, { run: "a", token: "s3cret" });
    using trainer = await PpoTrainer.create({ ...SETTINGS, gpu });
    const seen: Record<string, number>[] = [];
    await trainer.train({
      callbacks: [sink, { onStepEnd: (_, { metrics }) => void seen.push({ ...metrics }) }],
    });
    const of = (path: string) =>
      server.asked.filter((asked) => asked.path === `/api/2.0/mlflow/${path}`);
    assertEquals(of("experiments/get-by-name?experiment_name=kl-guard").length, 1);
    assertEquals(of("experiments/create").map(({ body }) => body), [{ name: "kl-guard" }]);
    const [{ body: { start_time, ...created } }] = of("runs/create");
    assert(Math.abs(start_time - Date.now()) < 600_000);
    assertEquals(created, {
      experiment_id: "7",
      run_name: "a",
      tags: [{ key: "mlflow.source.name", value: "kl-guard" }],
    });
    const logged = of("runs/log-batch").map(({ body }) => body);
    assert(logged.every(({ run_id }) => run_id === "of 7"));
    const params = logged.flatMap(({ params = [] }) => params);
    assertEquals(params.find(({ key }) => key === "klTarget").value, `${trainer.config.klTarget}`);
    assert(params.every(({ value }) => value !== ""));
    type Metric = { key: string; value: number; step: number; timestamp: number };
    const metrics: Metric[] = logged.flatMap(({ metrics = [] }) => metrics);
    for (const { step, ...values } of seen) {
      const kept = metrics.filter((metric) => metric.step === step);
      const finite = Object.entries(values).filter(([, value]) => Number.isFinite(value));
      assertEquals(
        Object.fromEntries(kept.map(({ key, value }) => [key, value])),
        Object.fromEntries(finite),
      );
    }
    assert(metrics.every(({ timestamp }) => Number.isInteger(timestamp)));
    const { body } = server.asked.at(-1)!;
    assertEquals([body.run_id, body.status], ["of 7", "FINISHED"]);
    assert(server.asked.every(({ headers }) => headers.get("authorization") === "Bearer s3cret"));
  }));

Deno.test("mlflow() goes on in the same run where training is resumed under the same name", () =>
  withGpu((gpu) =>
    withFolder(async (folder) => {
      await using server = serve(MLFLOW);
      {
        await using sink = mlflow(server.url, { run: "a" });
        using trainer = await PpoTrainer.create({ ...SETTINGS, gpu });
        await trainer.train({ steps: 2, callbacks: [sink] });
        await trainer.save(`${folder}/2`);
      }
      for (const [run, created] of [["a", 1], ["b", 2]] as const) {
        await using sink = mlflow(server.url, { run });
        const { reward } = SETTINGS;
        using trainer = await PpoTrainer.resume(`${folder}/2`, { gpu, reward: reward! });
        await trainer.train({ callbacks: [sink] });
        assertEquals(
          server.asked.filter(({ path }) => path.endsWith("runs/create")).length,
          created,
        );
      }
      const statuses = server.asked.filter(({ path }) => path.endsWith("runs/update"));
      assertEquals(statuses.map(({ body }) => body.status), [
        "FINISHED",
        "RUNNING",
        "FINISHED",
        "FINISHED",
      ]);
    })
  ));

Deno.test("trackio() keeps every metric of every step, each under an id of its own", () =>
  withGpu(async (gpu) => {
    await using server = serve(TRACKIO);
    const secrets = { writeToken: "wt", hubToken: "hf_1" };
    await using sink = trackio(server.url, { project: "p", run: "a", ...secrets });
    using trainer = await PpoTrainer.create({ ...SETTINGS, gpu });
    const seen: unknown[] = [];
    await trainer.train({
      callbacks: [sink, {
        onStepEnd: (_, { metrics: { step, ...values } }) =>
          void seen.push([
            step,
            Object.fromEntries(
              Object.entries(values).filter(([, value]) => Number.isFinite(value)),
            ),
          ]),
      }],
    });
    assert(
      server.asked.every(({ path, body }) => path === "/api/bulk_log" && body.hf_token === null),
    );
    const logs = server.asked.flatMap(({ body }) => body.logs);
    assertEquals(logs.map(({ step, metrics }) => [step, metrics]), seen);
    assert(logs.every(({ project, run }) => project === "p" && run === "a"));
    assertEquals(logs[0].config.klTarget, trainer.config.klTarget);
    assertEquals(new Set(logs.map(({ log_id }) => log_id)).size, 3);
    const [{ headers }] = server.asked;
    assertEquals(headers.get("x-trackio-write-token"), "wt");
    assertEquals(headers.get("authorization"), null); // the server is no Space
  }));

/** Trains against a server that misbehaves; what people were told. */
async function trainWith(
  answer: Answer,
  { steps = 3, ...options }: {
    steps?: number;
    throwAfter?: number;
    flushMs?: number;
    timeoutMs?: number;
    capacity?: number;
  } = {},
) {
  const told: string[] = [];
  await using server = serve(answer);
  const { url, asked } = server;
  const warn = (line: string) => void told.push(line.replace(url, "URL"));
  const sink = trackio(url, { run: "a", backoffMs: 1, writeToken: "s3cret", warn, ...options });
  await train(sink, { steps, ...options });
  const kept = asked.flatMap(({ body }) => body.logs.map(({ step }: { step: number }) => step));
  return { told, asked, kept };
}

Deno.test("a hiccup of a service is nobody's business", async () => {
  const answers: Answer[] = [
    (_, count) => count < 3 ? new Response("busy", { status: 500 }) : TRACKIO(_, count),
    (_, count) => count < 2 ? new Response("slow down", { status: 429 }) : TRACKIO(_, count),
  ];
  for (const answer of answers) {
    const { told, asked } = await trainWith(answer);
    assertEquals(told, []);
    const { logs } = asked[0].body; // sent again under the same ids
    assertEquals(asked[1].body.logs, logs);
    const ids = new Set(
      asked.flatMap(({ body }) => body.logs.map(({ log_id }: { log_id: string }) => log_id)),
    );
    assertEquals(ids.size, 3);
  }
});

const LOST = "3 of 3 steps did not get there";
const CASES: Record<string, [Answer, flushMs: number, told: RegExp[]]> = {
  "always fails": [() => new Response("", { status: 503 }), 1000, [
    /^Trackio at URL: it answered with status 503; it is tried again, and training goes on$/,
    /^Trackio at URL: 3 of 3 steps did not get there \(it answered with status 503\); metrics\.jsonl has them all$/,
  ]],
  "refuses": [() => new Response("who are you?", { status: 401 }), 300, [
    /^Trackio at URL: it answered with status 401; no more is sent, and training goes on$/,
    new RegExp(LOST),
  ]],
  "sends elsewhere": [() => Response.redirect("http://127.0.0.1:1/steal", 302), 300, [
    /it answered with status 302; no more is sent/,
    new RegExp(LOST),
  ]],
  "talks nonsense": [() => new Response("<html>"), 300, [
    /its answer is not JSON; no more is sent/,
    new RegExp(LOST),
  ]],
  "is slow": [
    () => new Promise((resolve) => setTimeout(() => resolve(Response.json({})), 200)),
    1500,
    [/it did not answer within 20 ms; it is tried again/, new RegExp(LOST)],
  ],
};
for (const [what, [answer, flushMs, says]] of Object.entries(CASES)) {
  Deno.test(`a service that ${what} is told of once, and never holds up the run`, async () => {
    const started = performance.now();
    const { told } = await trainWith(answer, {
      flushMs,
      timeoutMs: what === "is slow" ? 20 : 5000,
    });
    assert(performance.now() - started < 5000);
    assertEquals(told.length, 2, told.join("\n"));
    says.forEach((pattern, i) => assertMatch(told[i], pattern));
    assertEquals(told.join().includes("s3cret"), false);
  });
}

Deno.test("a service that is not there is told of, without its password", async () => {
  const told: string[] = [];
  const listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const { port } = listener.addr;
  listener.close();
  const options = { run: "a", token: "s3cret", backoffMs: 1, flushMs: 200 };
  const sink = mlflow(`http://127.0.0.1:${port}`, { ...options, warn: (line) => told.push(line) });
  await train(sink);
  assertMatch(
    told[0],
    /^MLflow at http:\/\/127\.0\.0\.1:\d+: it cannot be reached, or breaks off; it is/,
  );
  assertEquals([told.length, told.join().includes("s3cret")], [2, false]);
});

Deno.test("what waits is bounded: the oldest are given up", async () => {
  const told: string[] = [];
  const sent: number[] = [];
  let isUp = false;
  const delivery = new Delivery<number>("it", (items) => {
    if (!isUp) return Promise.reject(new ServiceFault("it is down", true));
    sent.push(...items);
    return Promise.resolve();
  }, { warn: (line) => told.push(line), batchSize: 2, capacity: 4, backoffMs: 1, flushMs: 2000 });
  for (let i = 1; i <= 10; i++) delivery.push(i);
  isUp = true;
  await delivery.flush();
  assertEquals(sent, [1, 7, 8, 9, 10]); // the first was on its way
  assertEquals(told, ["it: 5 of 10 steps did not get there; metrics.jsonl has them all"]);
});

Deno.test("a run that fails is marked so, and what was taken is delivered", async () => {
  await using server = serve(MLFLOW);
  await train(mlflow(server.url, { run: "a" }), { throwAfter: 2 });
  const metrics = server.asked.flatMap(({ body }) => body.metrics ?? []);
  assertEquals(metrics.map(({ step, value }) => [step, value]), [[1, 0.1], [2, 0.2]]);
  assertEquals(server.asked.at(-1)!.body.status, "FAILED");
});

Deno.test("runSinks() takes what lets it write from the environment, and gives it to the service only", async () => {
  await using server = serve((asked, count) =>
    asked.path.startsWith("/api/2.0") ? MLFLOW(asked, count) : TRACKIO(asked, count)
  );
  const env = new Map([
    ["TRACKIO_WRITE_TOKEN", "wt"],
    ["MLFLOW_TRACKING_USERNAME", "me"],
    ["MLFLOW_TRACKING_PASSWORD", "pw"],
    ["HF_TOKEN", "hf_1"],
  ]);
  const config = { trackio: server.url, mlflow: server.url, project: "p", out: "runs/x/" };
  const sinks = await runSinks(config, { env, warn: (line) => assert(false, line) });
  for (const sink of sinks) await train(sink, { steps: 1 });
  const [logged] = server.asked.filter(({ path }) => path === "/api/bulk_log");
  assertEquals(logged.headers.get("x-trackio-write-token"), "wt");
  assertEquals([logged.body.logs[0].project, logged.body.logs[0].run], ["p", "x"]);
  const created = server.asked.find(({ path }) => path.endsWith("runs/create"))!;
  assertEquals(created.headers.get("authorization"), `Basic ${btoa("me:pw")}`);
  assertEquals(created.body.run_name, "x");
  assertEquals(await runSinks({ ...config, trackio: "", mlflow: "" }, { env, warn() {} }), []);
});

Deno.test("Service keeps a path before its own, and reads no answer without end", async () => {
  await using server = serve(({ path }) => {
    if (path !== "/below/x?q=1") return new Response("", { status: 404 });
    return new Response(new ReadableStream({ pull: (c) => c.enqueue(new Uint8Array(2 ** 20)) }));
  });
  const service = new Service(`${server.url}/below`);
  assertEquals(service.place, `${server.url}/below`);
  const stop = new AbortController().signal;
  const error = await assertRejects(() => service.ask("x?q=1", { stop }), ServiceFault);
  assertEquals([error.message, error.mayPass], ["its answer is longer than 16777216 bytes", false]);
});

Deno.test("an answer that is cut off may come whole another time", async () => {
  using listener = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const cut = async () => {
    using connection = await listener.accept();
    await connection.read(new Uint8Array(10_000));
    const half = 'HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n{"data"';
    await connection.write(new TextEncoder().encode(half));
  };
  const service = new Service(`http://127.0.0.1:${listener.addr.port}`);
  const stop = new AbortController().signal;
  const asked = assertRejects(() => service.ask("x", { stop }), ServiceFault);
  await cut();
  const { message, mayPass } = await asked;
  assertEquals([message, mayPass], ["it cannot be reached, or breaks off", true]);
});

Deno.test("train keeps its metrics where it is told, ends well where that fails, and tells no token", () =>
  withFolder(async (folder) => {
    await using works = serve(MLFLOW);
    await using fails = serve(() => new Response("", { status: 403 }));
    const flags = [...QUICK_RUN, "--steps", "2", "--out", `${folder}/run`];
    const sinks = ["--mlflow", works.url, "--trackio", fails.url, "--project", "p"];
    const secrets = { MLFLOW_TRACKING_TOKEN: "s3cret1", TRACKIO_WRITE_TOKEN: "s3cret2" };
    const { code, stdout, stderr } = await runProgram("train", [...flags, ...sinks], secrets);
    assertEquals(code, 0, stderr);
    assertMatch(
      stderr,
      /^Trackio at http:\S+: it answered with status 403; no more is sent, and tr/m,
    );
    assertMatch(stderr, /: 2 of 2 steps did not get there \(it answered with status 403\)/);
    assertEquals(stderr.trimEnd().split("\n").length, 2, stderr);
    const steps = works.asked.flatMap(({ body }) => body.metrics ?? []).map(({ step }) => step);
    assertEquals([...new Set(steps)], [1, 2]);
    assertEquals(works.asked.at(-1)!.body.status, "FINISHED");
    assertEquals(works.asked[0].headers.get("authorization"), "Bearer s3cret1");
    assertEquals(fails.asked[0].headers.get("x-trackio-write-token"), "s3cret2");
    const texts = [stdout, stderr];
    for (const file of await listTree(`${folder}/run`)) {
      if (/json|html|csv|md$/.test(file)) {
        texts.push(await Deno.readTextFile(`${folder}/run/${file}`));
      }
    }
    assert(texts.length > 8 && texts.every((text) => !text.includes("s3cret")));
  }));
