/**
 * A fleet in a process of its own: outboxes of real agents, each with its spool on disk, that send calls at a steady rate.
 * Its one argument is JSON (`FleetOrders`). It sends a `FleetReport` several times a second. A message `true` or `false`
 * says whether it is to make calls. The names of all calls are appended to a file before a report counts them. It ends
 * when its parent does.
 */
import { appendFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { pino } from 'pino';
import { v7 as uuidv7 } from 'uuid';
import { Outbox, toCollector } from '../../../../agent/outbox/outbox.ts';
import { agentState, makeCall, processFacts } from '../calls.ts';

export interface FleetOrders {
  url: string;
  token: string;
  /** Authority of the collectors' certificate (PEM file); null without TLS. */
  caFile: string | null;
  /** Directory of the spools. */
  directory: string;
  agents: number;
  callsPerSecond: number;
  /** File that the ids of calls are appended to, one a line. */
  idsFile: string;
}

export interface FleetReport {
  /** Calls that are sent one by one. */
  whole: number;
  /** Calls that agents only count. */
  rolledUp: number;
  /** Coverage that was reported, in milliseconds of all agents. */
  coveredMs: number;
  /** Records that a collector has acknowledged, and those that none has yet. */
  acknowledged: number;
  waiting: number;
  connected: number;
  /** Records that agents lost. */
  lost: number;
  /** Since the report before: the longest time without an acknowledgement while records waited, of all agents and of one. */
  pauseMs: number;
  pauseOfOneMs: number;
}

const STEP_MS = 50;
const REPORT_MS = 250;
const COVERAGE_MS = 5_000;
const ROLL_UP_MS = 1_000;
const HEARTBEAT_MS = 2_000;
const SPOOL_BYTES = 64 * 2 ** 20;
const SCRIPTS = ['/opt/backup.py', '/opt/report.py', '/opt/sync.py'];
const PATHS = ['instance-id', 'hostname', 'placement/region', 'iam/security-credentials/'];

/** One agent, and what it has had acknowledged. */
class Member {
  readonly #host;
  readonly #outbox: Outbox;
  readonly #bootId = uuidv7();
  readonly #scripts = SCRIPTS.map((script) =>
    processFacts({ script, pid: 1 + Math.floor(Math.random() * 30_000) }),
  );
  #coveredUntilMs = Date.now();
  #given = 0;
  #pausedSinceMs: number | null = null;
  acknowledged = 0;
  waiting = 0;

  constructor(number: number, { url, token, caFile, directory }: FleetOrders) {
    this.#host = { id: `i-${String(number).padStart(17, '0')}`, name: `host-${number}` };
    const spoolDir = join(directory, String(number));
    const log = pino(
      { level: 'warn' },
      pino.destination({ dest: join(directory, `${number}.log`), mkdir: true }),
    );
    const identity = { host: this.#host, agentVersion: '0.0.0-test', log };
    const tls = { caFile, certFile: null, keyFile: null };
    this.#outbox = new Outbox({
      ...identity,
      spoolDir,
      spoolMaxBytes: SPOOL_BYTES,
      detail: 'rolled_up',
      rollupIntervalMs: ROLL_UP_MS,
      state: agentState,
      sink: toCollector({ url, token, spoolDir, tls, heartbeatMs: HEARTBEAT_MS }, identity),
    });
    this.#outbox.start();
  }

  /** Makes a call. Every third one is routine and only counted. Returns its id; null for a counted one. */
  call(): string | null {
    const at = this.#given;
    this.#given += 1;
    const version = at % 3 === 0 ? 2 : 1;
    const call = makeCall({
      host: this.#host,
      process: this.#scripts[at % 2]!,
      'imds.version': version,
      'imds.server_version': version,
      'url.path': `/latest/meta-data/${PATHS[at % PATHS.length]}`,
    });
    this.#outbox.call(call);
    return version === 1 ? call.id : null;
  }

  /** Reports that everything was watched since the report before. Returns the time in milliseconds. */
  cover(nowMs: number): number {
    const startMs = this.#coveredUntilMs;
    this.#coveredUntilMs = nowMs;
    const text = (ms: number) => new Date(ms).toISOString();
    this.#outbox.coverage({
      id: uuidv7(),
      host_id: this.#host.id,
      boot_id: this.#bootId,
      start: text(startMs),
      end: text(nowMs),
      live_ms: nowMs - startMs,
      kernel_connections: 1,
      seen_connections: 1,
      losses: {},
    });
    return nowMs - startMs;
  }

  get connected(): boolean {
    return this.#outbox.delivery().connected;
  }

  get lost(): number {
    const { lost = 0, overflowed = 0 } = this.#outbox.counters()['spool']!;
    return lost + overflowed;
  }

  /** Looks at what was acknowledged. Returns how long nothing was, and whether something was since the last look. */
  look(nowMs: number): { pauseMs: number; hasProgress: boolean } {
    const acknowledged = this.#outbox.counters()['spool']!['acknowledged']!;
    const hasProgress = acknowledged > this.acknowledged;
    this.acknowledged = acknowledged;
    this.waiting = this.#outbox.delivery().kept;
    const pauseMs = this.#pausedSinceMs === null ? 0 : nowMs - this.#pausedSinceMs;
    if (hasProgress || this.waiting === 0) this.#pausedSinceMs = null;
    if (this.waiting > 0) this.#pausedSinceMs ??= nowMs;
    return { pauseMs, hasProgress };
  }
}

const orders = JSON.parse(process.argv[2]!) as FleetOrders;
const members = Array.from({ length: orders.agents }, (_, number) => new Member(number, orders));
const report: FleetReport = {
  whole: 0,
  rolledUp: 0,
  coveredMs: 0,
  acknowledged: 0,
  waiting: 0,
  connected: 0,
  lost: 0,
  pauseMs: 0,
  pauseOfOneMs: 0,
};
let isMaking = false;
process.on('message', (isWanted: boolean) => {
  isMaking = isWanted;
});
process.on('disconnect', () => process.exit());

let due = 0;
let made = 0;
let lastMs = performance.now();
let reportedMs = 0;
let coveredMs = performance.now();
let pausedSinceMs: number | null = null;
for (;;) {
  const nowMs = performance.now();
  if (isMaking) due += ((nowMs - lastMs) / 1000) * orders.callsPerSecond;
  lastMs = nowMs;
  const ids: string[] = [];
  for (; made < Math.floor(due); made += 1) {
    const id = members[made % members.length]!.call();
    if (id === null) report.rolledUp += 1;
    else ids.push(id);
  }
  if (ids.length > 0) appendFileSync(orders.idsFile, `${ids.join('\n')}\n`);
  report.whole += ids.length;
  if (isMaking && nowMs - coveredMs > COVERAGE_MS) {
    coveredMs = nowMs;
    for (const member of members) report.coveredMs += member.cover(Date.now());
  }
  const looks = members.map((member) => member.look(nowMs));
  report.acknowledged = members.reduce((sum, { acknowledged }) => sum + acknowledged, 0);
  report.waiting = members.reduce((sum, { waiting }) => sum + waiting, 0);
  report.pauseOfOneMs = Math.max(report.pauseOfOneMs, ...looks.map(({ pauseMs }) => pauseMs));
  if (pausedSinceMs !== null) report.pauseMs = Math.max(report.pauseMs, nowMs - pausedSinceMs);
  if (report.waiting === 0 || looks.some(({ hasProgress }) => hasProgress)) pausedSinceMs = null;
  if (report.waiting > 0) pausedSinceMs ??= nowMs;
  if (nowMs - reportedMs > REPORT_MS) {
    reportedMs = nowMs;
    report.connected = members.filter(({ connected }) => connected).length;
    report.lost = members.reduce((sum, { lost }) => sum + lost, 0);
    process.send!(report);
    report.pauseMs = 0;
    report.pauseOfOneMs = 0;
  }
  await sleep(STEP_MS);
}
