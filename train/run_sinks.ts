import { basename, resolve } from "node:path";
import { type Environment, hubOptionsFromEnv, readToken } from "../weights/hub_options.ts";
import type { MetricSink } from "./metric_sink.ts";
import { mlflow } from "./mlflow.ts";
import { isSpace } from "./sink_address.ts";
import { trackio } from "./trackio.ts";
import type { TrainConfig } from "./train_config.ts";

/**
 * The services that a run's settings name. What lets one write to them comes from the environment alone, under the names that
 * their own programs read: TRACKIO_WRITE_TOKEN or, for a Space, the Hub's token; MLFLOW_TRACKING_TOKEN or
 * MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD.
 *
 * @param warn Hears when a service fails, which does not end the run.
 */
export async function runSinks(
  config: Pick<TrainConfig, "trackio" | "mlflow" | "project" | "out">,
  { env, warn }: { env: Environment; warn: (line: string) => void },
): Promise<MetricSink[]> {
  const { project } = config;
  const run = basename(resolve(config.out));
  const sinks: MetricSink[] = [];
  if (config.trackio !== "") {
    const writeToken = env.get("TRACKIO_WRITE_TOKEN");
    const hubToken = isSpace(config.trackio) ? await readToken(hubOptionsFromEnv(env)) : undefined;
    sinks.push(trackio(config.trackio, { project, run, writeToken, hubToken, warn }));
  }
  if (config.mlflow !== "") {
    sinks.push(mlflow(config.mlflow, {
      experiment: project,
      run,
      token: env.get("MLFLOW_TRACKING_TOKEN"),
      username: env.get("MLFLOW_TRACKING_USERNAME"),
      password: env.get("MLFLOW_TRACKING_PASSWORD"),
      warn,
    }));
  }
  return sinks;
}
