/** Starts the agent: connects the live watch, the coverage reporter and the outbox. */
import type { Logger } from 'pino';
import { VERSION } from '../common/version.ts';
import type { Call } from '../protocol/call.ts';
import { isV1Use, judgedFields } from '../protocol/v1_use.ts';
import type { AgentSettings } from './config.ts';
import { CoverageReporter } from './coverage/coverage_reporter.ts';
import { HostIdentity } from './host/host_identity.ts';
import { bootId } from './linux/boot_id.ts';
import { LiveWatch } from './live_watch.ts';
import type { AgentReadings } from './metrics/agent_metrics.ts';
import { CallCounts } from './metrics/call_counts.ts';
import { metricsAddress, serveMetrics } from './metrics/serve_metrics.ts';
import { collectorAddress } from './outbox/collector_address.ts';
import { Ledger } from './outbox/ledger.ts';
import { Outbox, toCollector } from './outbox/outbox.ts';
import { StateFile } from './outbox/state_file.ts';

export interface Agent {
  /** Returns one status line for people, and the reason why there is no progress (null if there is). */
  state(): { status: string; stuck: string | null };
  /** Stops in order: reports open connections and roll-ups, and delivers as much as it can. */
  stop(): Promise<void>;
}

/** Opens the identity of the host that an agent with these settings reports for. */
export function openHostIdentity(
  settings: Pick<
    AgentSettings,
    | 'host_id'
    | 'host_name'
    | 'host_account'
    | 'host_region'
    | 'host_tags'
    | 'spool_dir'
    | 'identity_from_imds'
  >,
  log: Logger,
): HostIdentity {
  return new HostIdentity({
    given: settings,
    directory: settings.spool_dir,
    asks: settings.identity_from_imds,
    bootId: bootId(),
    spoolHostId: spoolHostId(settings.spool_dir),
    log,
  });
}

function spoolHostId(directory: string): string | null {
  try {
    return Ledger.read(directory)?.host_id ?? null;
  } catch {
    return null; // the spool reports its own damage when it is opened
  }
}

/**
 * Starts to watch and to report. Resolves when the host's id is known: at once, or after a few seconds at the
 * first start on some hosts; packets are captured meanwhile. Rejects with `OperatorError` (settings,
 * permissions, spool).
 */
export async function startAgent(
  settings: AgentSettings,
  log: Logger,
  identity: HostIdentity = openHostIdentity(settings, log),
): Promise<Agent> {
  // Stops again what was started before an error.
  await using opening = new AsyncDisposableStack();
  opening.defer(() => identity.stop());
  const collector = collectorAddress(settings, identity.facts.id, log);
  const metricsAt = metricsAddress(settings);
  let outbox: Outbox | null = null;
  /** Calls before the host's id is known. The rate limit of the metadata service bounds their number. */
  const earlyCalls: { call: Call; isProven: boolean }[] = [];
  const calls = { seen: 0, v1: 0 };
  const counts = new CallCounts();
  const onCall = (call: Call, isProven: boolean) => {
    calls.seen += 1;
    counts.add(call);
    if (isV1Use(judgedFields(call))) calls.v1 += 1;
    if (outbox === null) earlyCalls.push({ call, isProven });
    else outbox.call(call, isProven);
  };
  const watch = new LiveWatch(settings, log, onCall, {
    host: identity.facts,
    ownCalls: identity.own,
  });
  opening.defer(() => watch.stop());
  watch.start();
  const reporter = new CoverageReporter(watch, bootId(), (coverage) => outbox?.coverage(coverage));
  watch.host = await identity.settled();
  const opened = openOutbox(settings, collector, watch, identity, log);
  outbox = opened;
  const { host } = watch;
  for (const { call, isProven } of earlyCalls.splice(0)) opened.call({ ...call, host }, isProven);
  identity.onLearnt = (facts) => {
    watch.host = facts;
    opened.updateHost(facts);
  };
  opened.start();
  log.info(
    { host: host.id, source: watch.sourceName, attribution: watch.attribution.way },
    'the agent watches',
  );
  watch.onMoment = (moment) => void reporter.reportClockStep(moment);
  const timer = setInterval(() => void reporter.report(), settings.coverage_seconds * 1_000);
  const stateTimer = startStateFile(opened, settings, log);
  const metrics =
    metricsAt === null
      ? null
      : await serveMetrics(metricsAt, metricsSource(settings, watch, opened, counts), log);
  opening.move();
  return {
    state: () => ({ status: statusOf(watch, calls, opened.delivery()), stuck: watch.stuckReason() }),
    async stop() {
      clearInterval(timer);
      clearInterval(stateTimer);
      await metrics?.stop();
      identity.stop();
      // Packets that were captured until the end of the last report are read before the capture ends.
      await reporter.finish((end) => watch.stop(end));
      await opened.stop();
      log.info('the agent has stopped');
    },
  };
}

function openOutbox(
  settings: AgentSettings,
  collector: ReturnType<typeof collectorAddress>,
  watch: LiveWatch,
  identity: HostIdentity,
  log: Logger,
): Outbox {
  const { host } = watch;
  return new Outbox({
    spoolDir: settings.spool_dir,
    spoolMaxBytes: settings.spool_max_bytes,
    host,
    agentVersion: VERSION,
    detail: settings.detail,
    rollupIntervalMs: settings.rollup_seconds * 1_000,
    state: () => ({
      counters: { ...watch.counters(), host: identity.counters() },
      coverage: { live: watch.isLive, sources: [watch.sourceName] },
      attribution: watch.attribution,
    }),
    sink: toCollector(collector, { host, agentVersion: VERSION, log }),
    log,
  });
}

function metricsSource(settings: AgentSettings, watch: LiveWatch, outbox: Outbox, calls: CallCounts) {
  const readings = (oldestSeconds: number): AgentReadings => {
    const { connected, kept, bytes, fault } = outbox.delivery();
    const { kernelConnections, seenConnections } = watch.coverage();
    const { user, system } = process.cpuUsage();
    return {
      ...{ version: VERSION, attribution: watch.attribution.way, calls, kernelConnections, seenConnections },
      counters: { ...watch.counters(), ...outbox.counters() },
      isLive: watch.isLive,
      watchedSeconds: watch.moment().liveMs / 1000,
      isConnected: connected,
      spool: {
        ...{ bytes, maxBytes: settings.spool_max_bytes, records: kept, oldestSeconds },
        isFailing: fault !== null,
      },
      process: {
        cpuSeconds: (user + system) / 1e6,
        residentBytes: process.memoryUsage.rss(),
        startSeconds: performance.timeOrigin / 1000,
      },
    };
  };
  return { spoolDir: settings.spool_dir, readings };
}

function startStateFile(outbox: Outbox, settings: AgentSettings, log: Logger): NodeJS.Timeout {
  const file = new StateFile(settings.spool_dir, bootId());
  const write = () =>
    outbox
      .heartbeat()
      .then((heartbeat) => file.write(heartbeat))
      .catch((error) => log.debug({ err: error }, 'the state file of the agent cannot be written'));
  void write();
  return setInterval(() => void write(), settings.heartbeat_seconds * 1_000);
}

/**
 * Returns a status line that is useful without the collector: what is seen, how, and whether it is delivered.
 */
function statusOf(
  watch: LiveWatch,
  calls: { seen: number; v1: number },
  { connected, kept, fault }: ReturnType<Outbox['delivery']>,
): string {
  const { way, reason } = watch.attribution;
  const where = watch.isLive ? `Watching ${watch.sourceName}` : `Waiting for ${watch.sourceName}`;
  const how = {
    ebpf: 'callers exact (eBPF)',
    tracepoint: `callers exact (eBPF on a tracepoint: ${reason})`,
    sock_diag: `callers by /proc (${reason})`,
  }[way];
  const collector = connected ? 'collector connected' : 'collector not reached';
  const disk = fault === null ? '' : ` (spool: ${fault})`;
  return `${where}; ${calls.seen} calls, ${calls.v1} IMDSv1; ${collector}, ${kept} records kept for it${disk}; ${how}`;
}
