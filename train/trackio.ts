import type { DeliveryOptions } from "./delivery.ts";
import { finiteMetrics, type MetricSink, metricSink } from "./metric_sink.ts";
import { Service, type ServiceOptions } from "./service.ts";
import { isSpace, trackioUrl } from "./sink_address.ts";

/** How {@linkcode trackio} keeps a run. */
export interface TrackioOptions extends DeliveryOptions, Pick<ServiceOptions, "timeoutMs"> {
  /** Project of the run (default `kl-guard`). */
  project?: string | undefined;
  /** Name of the run; a run that goes on keeps its name. */
  run: string;
  /** Lets one write to a server of one's own, which calls it the write token. */
  writeToken?: string | undefined;
  /** Access token of Hugging Face; sent to a Space only. */
  hubToken?: string | undefined;
}

/**
 * Sends the metrics of every step, and the settings, to a Trackio server or Space.
 *
 * A record that is sent twice, because the answer to it was lost, is kept once.
 *
 * Source: the HTTP API of trackio 0.36, `bulk_log`.
 *
 * @param server Address of a server, such as `http://127.0.0.1:7860`, or a Space, `user/space`.
 */
export function trackio(
  server: string,
  { project = "kl-guard", run, writeToken, hubToken, timeoutMs, ...options }: TrackioOptions,
): MetricSink {
  const service = new Service(trackioUrl(server), {
    timeoutMs,
    headers: {
      ...(writeToken && { "x-trackio-write-token": writeToken }),
      ...(hubToken && isSpace(server) && { authorization: `Bearer ${hubToken}` }),
    },
  });
  let config: Record<string, unknown> = {};
  return metricSink({
    label: `Trackio at ${service.place}`,
    begin: (trainer) => void (config = { ...trainer.config }),
    record: (stats) => ({
      project,
      run,
      step: stats.metrics.step,
      metrics: Object.fromEntries(finiteMetrics(stats)),
      config,
      log_id: crypto.randomUUID(),
    }),
    send: async (logs, stop) => {
      await service.ask("api/bulk_log", { body: { logs, hf_token: null }, stop });
    },
  }, options);
}
