/** The agent: composition only. */
import { readFileSync } from 'node:fs';
import type { Logger } from 'pino';
import { v7 as uuidv7 } from 'uuid';
import type { Counters } from '../protocol/records.ts';
import { VERSION } from '../protocol/version.ts';
import { collectorAddress } from './collector_address.ts';
import type { AgentSettings } from './config.ts';
import { hostFacts } from './identity/host.ts';
import { LiveWatch } from './live_watch.ts';
import { Outbox, toCollector } from './outbox/outbox.ts';

export interface Agent {
  /** How it is now: one line for people, and why there is no progress (null while there is). */
  state(): { status: string; stuck: string | null };
  /** Orderly end: open connections and roll-ups are reported, what can be delivered is. */
  stop(): Promise<void>;
}

/** Starts to watch and to report. Throws `OperatorError` (settings, permissions, spool). */
export function startAgent(settings: AgentSettings, log: Logger): Agent {
  const collector = collectorAddress(settings, hostFacts(settings).id, log);
  let outbox: Outbox | null = null;
  const calls = { seen: 0, v1: 0 };
  const watch = new LiveWatch(settings, log, (call) => {
    calls.seen += 1;
    if (call['imds.version'] === 1) calls.v1 += 1;
    outbox?.call(call);
  });
  const { host } = watch;
  outbox = new Outbox({
    spoolDir: settings.spool_dir,
    spoolMaxBytes: settings.spool_max_bytes,
    host,
    agentVersion: VERSION,
    detail: settings.detail,
    rollupIntervalMs: settings.rollup_seconds * 1_000,
    state: () => ({
      counters: watch.counters(),
      coverage: { live: watch.isLive, sources: [watch.sourceName] },
      attribution: watch.attribution,
    }),
    sink: toCollector(collector, { host, agentVersion: VERSION, log }),
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
    state: () => ({ status: statusOf(watch, calls, outbox.delivery()), stuck: watch.stuck() }),
    async stop() {
      clearInterval(timer);
      watch.stop();
      report();
      await outbox.stop();
      log.info('the agent has stopped');
    },
  };
}

/** Of use without the collector: what is seen, how, and whether it gets away. */
function statusOf(
  watch: LiveWatch,
  calls: { seen: number; v1: number },
  { connected, kept, fault }: ReturnType<Outbox['delivery']>,
): string {
  const { method, reason } = watch.attribution;
  const where = watch.isLive ? `Watching ${watch.sourceName}` : `Waiting for ${watch.sourceName}`;
  const how = method === 'ebpf' ? 'callers exact (eBPF)' : `callers by /proc (${reason})`;
  const collector = connected ? 'collector connected' : 'collector not reached';
  const disk = fault === null ? '' : ` (spool: ${fault})`;
  return `${where}; ${calls.seen} calls, ${calls.v1} IMDSv1; ${collector}, ${kept} records kept for it${disk}; ${how}`;
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
