import type { DeliveryOptions } from "./delivery.ts";
import { finiteMetrics, type MetricSink, metricSink } from "./metric_sink.ts";
import { Service, ServiceFault, type ServiceOptions } from "./service.ts";

/** How {@linkcode mlflow} keeps a run. */
export interface MlflowOptions extends DeliveryOptions, Pick<ServiceOptions, "timeoutMs"> {
  /** Experiment of the run; made where there is none of the name (default `kl-guard`). */
  experiment?: string | undefined;
  /** Name of the run. */
  run: string;
  /** Sent as a bearer token. */
  token?: string | undefined;
  /** Name in basic authorization, which is sent where there is no token. */
  username?: string | undefined;
  /** And its password. */
  password?: string | undefined;
}

/** A value of a metric as MLflow takes it. */
interface MlflowMetric {
  key: string;
  value: number;
  /** Milliseconds since 1970. */
  timestamp: number;
  step: number;
}

/** What a request may hold at most, by MLflow's REST API. */
const [MOST_METRICS, MOST_PARAMS, LONGEST_PARAM] = [1000, 100, 500];

/**
 * Sends the metrics of every step, and the settings as parameters, to an MLflow tracking server.
 *
 * A checkpoint keeps the run's id, and a run that is resumed goes on in the same run of MLflow. There a step that is taken
 * again has both values.
 *
 * Source: MLflow's REST API 2.0: `experiments/get-by-name`, `experiments/create`, `runs/create`, `runs/log-batch`, `runs/update`.
 *
 * @param server Address of the server, such as `http://127.0.0.1:5000`.
 */
export function mlflow(server: string, options: MlflowOptions): MetricSink {
  const { experiment = "kl-guard", run, token, username, password, timeoutMs } = options;
  const authorization = token
    ? `Bearer ${token}`
    : username && `Basic ${new TextEncoder().encode(`${username}:${password ?? ""}`).toBase64()}`;
  const service = new Service(server, {
    timeoutMs,
    headers: authorization ? { authorization } : {},
  });
  const post = (path: string, body: unknown, stop: AbortSignal) =>
    service.ask(`api/2.0/mlflow/${path}`, { body, stop });

  let settings: Record<string, unknown> = {};
  let runId: string | undefined;
  /** What the server has still to be told of the run itself. */
  let news: "new" | "resumed" | "known" = "new";

  const experimentId = async (stop: AbortSignal): Promise<unknown> => {
    const name = encodeURIComponent(experiment);
    try {
      const path = `api/2.0/mlflow/experiments/get-by-name?experiment_name=${name}`;
      return idIn(await service.ask(path, { stop }), "experiment", "experiment_id");
    } catch (error) {
      if (!(error instanceof ServiceFault && error.status === 404)) throw error;
      return idIn(await post("experiments/create", { name: experiment }, stop), "experiment_id");
    }
  };
  /** The run's id, when it is there with its parameters. */
  const openRun = async (stop: AbortSignal): Promise<string> => {
    runId ??= idIn(
      await post("runs/create", {
        experiment_id: await experimentId(stop),
        run_name: run,
        start_time: Date.now(),
        tags: [{ key: "mlflow.source.name", value: "kl-guard" }],
      }, stop),
      "run",
      "info",
      "run_id",
    );
    if (news === "resumed") await post("runs/update", { run_id: runId, status: "RUNNING" }, stop);
    if (news === "new") {
      for (const params of chunks(paramsOf(settings), MOST_PARAMS)) {
        await post("runs/log-batch", { run_id: runId, params }, stop);
      }
    }
    news = "known";
    return runId;
  };

  const sink = metricSink<MlflowMetric[]>({
    label: `MLflow at ${service.place}`,
    begin(trainer) {
      settings = { ...trainer.config };
      if (news === "known") news = "resumed"; // it trains once more
    },
    record(stats) {
      const timestamp = Date.now();
      const { step } = stats.metrics;
      return finiteMetrics(stats).map(([key, value]) => ({ key, value, timestamp, step }));
    },
    async send(steps, stop) {
      const run_id = await openRun(stop);
      for (const metrics of chunks(steps.flat(), MOST_METRICS)) {
        await post("runs/log-batch", { run_id, metrics }, stop);
      }
    },
    async end(isFinished, stop) {
      const status = isFinished ? "FINISHED" : "FAILED";
      if (runId !== undefined) {
        await post("runs/update", { run_id: runId, status, end_time: Date.now() }, stop);
      }
    },
  }, options);
  return {
    ...sink,
    name: "mlflow",
    state: () => ({ run, runId: runId ?? null }),
    restore(kept) {
      const before = kept as { run?: unknown; runId?: unknown } | null;
      if (runId !== undefined || before?.run !== run || typeof before.runId !== "string") return;
      [runId, news] = [before.runId, "resumed"];
    },
  };
}

function paramsOf(settings: Record<string, unknown>): { key: string; value: string }[] {
  return Object.entries(settings)
    .map(([key, value]) => ({ key, value: String(value).slice(0, LONGEST_PARAM) }))
    .filter(({ value }) => value !== ""); // which some of its stores refuse
}

/** The text at the end of a path of keys in an answer. */
function idIn(answer: unknown, ...path: readonly string[]): string {
  const found = path.reduce<unknown>(
    (value, key) => (value as Record<string, unknown> | null | undefined)?.[key],
    answer,
  );
  if (typeof found === "string") return found;
  throw new ServiceFault(`its answer has no ${path.at(-1)}`, false);
}

function* chunks<T>(items: readonly T[], size: number): Generator<T[]> {
  for (let at = 0; at < items.length; at += size) yield items.slice(at, at + size);
}
