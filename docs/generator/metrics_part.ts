/** Makes the table of the collector's metrics from those of a collector that has just started. */
import { randomUUID } from 'node:crypto';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { pino } from 'pino';
import { Access } from '../../collector/access/access.ts';
import { selfSignedFiles } from '../../collector/access/self_signed.ts';
import { openAdmin } from '../../collector/admin/admin_schema.ts';
import { SqliteAdminStore } from '../../collector/admin/sqlite/sqlite_admin_store.ts';
import { collectorSettings } from '../../collector/config.ts';
import { startCollector } from '../../collector/main.ts';
import { openStore } from '../../collector/store/sqlite/sqlite_store.ts';
import { exampleCall } from './event_example.ts';
import { code, table } from './generated_part.ts';

/** prom-client uses these names for its metrics of the process. */
const OF_ANY_PROCESS = /^(process|nodejs)_/;

interface Metric {
  name: string;
  kind: string;
  help: string;
  labels: string[];
}

export async function metricsPart(): Promise<string> {
  const metrics = (await scrape()).filter(({ name }) => !OF_ANY_PROCESS.test(name));
  const stage = ({ help }: Metric) => /^Stage (\S+) of the collector:/.exec(help)?.[1];
  const counted = Map.groupBy(
    metrics.filter((metric) => stage(metric) !== undefined),
    (metric) => stage(metric)!,
  );
  const own = metrics
    .filter((metric) => stage(metric) === undefined)
    .map(({ name, labels, kind, help }) => [
      code(`${name}${labels.length > 0 ? `{${labels.join(',')}}` : ''}`),
      kind,
      help,
    ]);
  const stages = [...counted].sort().map(([name, found]) => [
    code(`imdswatch_${name}_…`),
    found
      .map((metric) => code(metric.name.replace(`imdswatch_${name}_`, '')))
      .sort()
      .join(', '),
  ]);
  return `${table(['metric', 'type', 'what'], own)}

And what each stage of the collector counts:

${table(['stage', 'counters; without `_total` what goes down as well'], stages)}`;
}

async function scrape(): Promise<Metric[]> {
  const dataDir = mkdtempSync(join(tmpdir(), 'imdswatch-metrics-'));
  try {
    await storeOneCall(dataDir);
    const settings = collectorSettings.parse({
      listen: '127.0.0.1:0',
      data_dir: dataDir,
      tls_self_signed: true,
    });
    const collector = await startCollector(settings, pino({ level: 'silent' }));
    try {
      const ask = { ca: readFileSync(selfSignedFiles(dataDir).certFile), token: await viewerToken(dataDir) };
      // The second request counts the first one.
      await answerOf(`${collector.pageUrl}/metrics`, ask);
      return parse(await answerOf(`${collector.pageUrl}/metrics`, ask));
    } finally {
      await collector.stop();
    }
  } finally {
    rmSync(dataDir, { recursive: true, force: true });
  }
}

/** Stores one workload, because without one the metrics of workloads would have no labels. */
async function storeOneCall(dataDir: string): Promise<void> {
  const { host, ...rest } = exampleCall();
  const { process, container, k8s, systemd, ...call } = rest;
  const how = {
    'attribution.method': call['attribution.method'],
    'attribution.confidence': call['attribution.confidence'],
  };
  const time = new Date().toISOString();
  const store = openStore(dataDir, (error) => {
    throw error;
  });
  await store.write([
    {
      stream: randomUUID(),
      seq: 1,
      host,
      callers: [{ process, container, k8s, systemd, ...how }],
      records: [{ kind: 'call', caller: 0, call: { ...call, time } }],
    },
  ]);
  await store.close();
}

async function viewerToken(dataDir: string): Promise<string> {
  const admin = openAdmin(dataDir);
  const options = {
    agentToken: null,
    agentTokenHost: null,
    proxy: { userHeader: null, trustedAddresses: [], admins: [] },
    secure: true,
    publicUrl: null,
  };
  const access = await Access.open(new SqliteAdminStore(admin), options, pino({ level: 'silent' }));
  const request = { kind: 'person', name: 'docs', role: 'viewer' } as const;
  const { secret } = await access.createToken(request, { name: 'docs', sourceAddress: null });
  await access.close();
  admin.close();
  return secret;
}

function answerOf(url: string, { ca, token }: { ca: Buffer; token: string }): Promise<string> {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const asked = get(url, { ca, headers: { authorization: `Bearer ${token}` } }, async (answer) => {
    const body = await text(answer);
    if (answer.statusCode === 200) resolve(body);
    else reject(new Error(`${url} answered ${answer.statusCode}`));
  });
  asked.on('error', reject);
  return promise;
}

/** Reads the text format of Prometheus. The labels are those of the samples, without those of histograms. */
function parse(exposition: string): Metric[] {
  const metrics: Metric[] = [];
  for (const line of exposition.split('\n')) {
    const [, help, words] = /^# HELP (\S+) (.*)$/.exec(line) ?? [];
    if (help !== undefined) metrics.push({ name: help, kind: '', help: words!, labels: [] });
    const metric = metrics.at(-1);
    if (metric === undefined) continue;
    metric.kind = new RegExp(`^# TYPE ${metric.name} (\\w+)$`).exec(line)?.[1] ?? metric.kind;
    if (!line.startsWith('#')) {
      const labels = [...line.matchAll(/[{,]([a-z_]+)="/g)].map(([, label]) => label!);
      metric.labels = [...new Set([...metric.labels, ...labels])].filter((label) => label !== 'le');
    }
  }
  return metrics;
}
