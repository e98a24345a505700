/** Begins to serve the metrics of an agent whose settings ask for them. */
import type { Logger } from 'pino';
import { type HostPort, hostPortOf, isLoopback } from '../../common/host_address.ts';
import { OperatorError } from '../../common/operator_error.ts';
import type { AgentSettings } from '../config.ts';
import { oldestRecordMs } from '../outbox/spool_age.ts';
import type { AgentReadings } from './agent_metrics.ts';
import type { MetricsServer } from './metrics_server.ts';

/** Records are read on the disk for their age at most this often. */
const AGE_KEPT_MS = 10_000;

/**
 * Returns the address to serve metrics at; null where they are not wanted. Called before anything is watched. Throws
 * `OperatorError` (2) for an address that other machines reach and nobody has permitted.
 */
export function metricsAddress({
  metrics_listen: listen,
  metrics_remote: isRemoteAllowed,
}: Pick<AgentSettings, 'metrics_listen' | 'metrics_remote'>): HostPort | null {
  if (listen === undefined) return null;
  const address = hostPortOf(listen);
  if (isLoopback(address.host) || isRemoteAllowed) return address;
  throw new OperatorError(
    2,
    `metrics_listen is ${listen}, which other machines can reach, without encryption and without authentication: whoever reaches it learns how often this host calls the metadata service, and when nobody watches. Listen on 127.0.0.1 or [::1], or set metrics_remote if a firewall keeps everybody else away.`,
  );
}

export interface MetricsSource {
  spoolDir: string;
  readings(oldestSeconds: number): AgentReadings;
}

/** The library of the metrics is loaded only here. */
export async function serveMetrics(
  address: HostPort,
  { spoolDir, readings }: MetricsSource,
  log: Logger,
): Promise<MetricsServer> {
  const [{ AgentMetrics }, { MetricsServer }] = await Promise.all([
    import('./agent_metrics.ts'),
    import('./metrics_server.ts'),
  ]);
  const metrics = new AgentMetrics();
  let age = { seconds: 0, untilMs: 0 };
  const text = async () => {
    const nowMs = performance.now();
    if (nowMs >= age.untilMs) {
      const oldestMs = readings(0).spool.records === 0 ? null : oldestRecordMs(spoolDir);
      const seconds = oldestMs === null ? 0 : Math.max(0, (Date.now() - oldestMs) / 1000);
      age = { seconds, untilMs: nowMs + AGE_KEPT_MS };
    }
    return metrics.text(readings(age.seconds));
  };
  const server = new MetricsServer({ address, contentType: metrics.contentType, text, log });
  server.start();
  return server;
}
