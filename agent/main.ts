/** The agent: composition only. */
import { readFileSync } from 'node:fs';
import type { Logger } from 'pino';
import { v7 as uuidv7 } from 'uuid';
import { OperatorError } from '../protocol/operator_error.ts';
import type { Counters } from '../protocol/records.ts';
import { VERSION } from '../protocol/version.ts';
import type { AgentSettings } from './config.ts';
import { LiveWatch } from './live_watch.ts';
import { Outbox, toCollector } from './outbox/outbox.ts';

export interface Agent {
  /** Orderly end: open connections and roll-ups are reported, what can be delivered is. */
  stop(): Promise<void>;
}

/** Starts to watch and to report. Throws `OperatorError` (settings, permissions, spool). */
export function startAgent(settings: AgentSettings, log: Logger): Agent {
  const token = readToken(settings);
  let outbox: Outbox | null = null;
  const watch = new LiveWatch(settings, log, (call) => outbox?.call(call));
  outbox = new Outbox({
    spoolDir: settings.spool_dir,
    spoolMaxBytes: settings.spool_max_bytes,
    host: watch.host,
    agentVersion: VERSION,
    detail: settings.detail,
    rollupIntervalMs: settings.rollup_seconds * 1_000,
    state: () => ({
      counters: watch.counters(),
      coverage: { live: watch.isLive, sources: [watch.sourceName] },
      attribution: watch.attribution,
    }),
    sink: toCollector(
      { url: settings.collector_url, token, heartbeatMs: settings.heartbeat_seconds * 1_000 },
      { host: watch.host, agentVersion: VERSION, log },
    ),
    log,
  });
  watch.start();
  outbox.start();
  log.info(
    { host: watch.host.id, source: watch.sourceName, attribution: watch.attribution.method },
    'the agent watches',
  );
  const report = coverageReporter(watch, (coverage) => outbox.coverage(coverage));
  const timer = setInterval(report, settings.coverage_seconds * 1_000);
  return {
    async stop() {
      clearInterval(timer);
      watch.stop();
      report();
      await outbox.stop();
      log.info('the agent has stopped');
    },
  };
}

/** Makes one coverage record per call: what happened since the last one. */
function coverageReporter(watch: LiveWatch, emit: Outbox['coverage']): () => void {
  const bootId = readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim();
  let start = new Date();
  let before = { ...watch.coverage(), losses: {} as Counters };
  return () => {
    const end = new Date();
    const now = { ...watch.coverage(), losses: watch.losses() };
    const losses: Counters = {};
    for (const [name, count] of Object.entries(now.losses)) {
      const lost = count - (before.losses[name] ?? 0);
      if (lost > 0) losses[name] = lost;
    }
    emit({
      id: uuidv7(),
      host_id: watch.host.id,
      boot_id: bootId,
      start: start.toISOString(),
      end: end.toISOString(),
      live_ms: now.liveMs - before.liveMs,
      kernel_connections:
        now.kernelConnections === null ? null : now.kernelConnections - (before.kernelConnections ?? 0),
      seen_connections: now.seenConnections - before.seenConnections,
      losses,
    });
    start = end;
    before = now;
  };
}

function readToken({ agent_token, agent_token_file }: AgentSettings): string {
  if (agent_token !== undefined) return agent_token;
  if (agent_token_file === undefined) {
    throw new OperatorError(
      2,
      'agent_token is not set: give the agent the token that its collector was started with (--agent-token-file FILE).',
    );
  }
  try {
    return readFileSync(agent_token_file, 'utf8').trim();
  } catch (error) {
    throw new OperatorError(
      2,
      `agent_token_file ${agent_token_file} cannot be read: ${(error as Error).message}.`,
    );
  }
}
