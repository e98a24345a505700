/**
 * A real Prometheus scrapes a real collector with records of an agent: every rule and every expression of the dashboards can
 * be parsed and has data.
 */
import assert from 'node:assert/strict';
import { execFileSync, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { get } from 'node:https';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { after, before, describe, it } from 'node:test';
import { pino } from 'pino';
import { v7 as uuidv7 } from 'uuid';
import { WebSocket } from 'ws';
import { parse } from 'yaml';
import { Access } from '../../../collector/access/access.ts';
import { NO_PROXY } from '../../../collector/access/proxy_identity.ts';
import { selfSignedFiles } from '../../../collector/access/self_signed.ts';
import { openAdmin } from '../../../collector/admin/admin_schema.ts';
import { SqliteAdminStore } from '../../../collector/admin/sqlite/sqlite_admin_store.ts';
import { collectorSettings } from '../../../collector/config.ts';
import { type Collector, startCollector } from '../../../collector/main.ts';
import { programPath } from '../../../lab/engines/need.ts';
import { AGENT_PATH } from '../../../protocol/frames.ts';
import { makeCall } from '../../support/collector/calls.ts';
import { TOKEN } from '../../support/collector/processes.ts';
import { eventually } from '../../support/collector/stored.ts';
import { ROOT } from '../../support/docker/images.ts';
import { allDashboards, type Dashboard, expressionsOf } from '../../support/docker/mixin.ts';
import { freePort } from '../../support/free_port.ts';

const RULES = join(ROOT, 'docker/prometheus/collector-rules.yaml');
const prometheus = programPath('prometheus');
const promtool = programPath('promtool');
const HOST = {
  id: 'i-0123456789abcdef0',
  name: 'web-1',
  tags: { team: 'payments', 'aws:autoscaling:groupName': 'web' },
};

const stamp = (ms: number) => new Date(ms).toISOString().replace('Z', '000Z');

function recordsOf(nowMs: number): object[] {
  const host = { host: HOST };
  const credentials = {
    'imds.category': 'credentials',
    'imds.role': 'web',
    'url.path': '/latest/meta-data/iam/security-credentials/web',
  } as const;
  return [
    { kind: 'call', call: makeCall({ ...host, ...credentials }) },
    { kind: 'call', call: makeCall({ ...host, 'imds.version': 2, 'imds.server_version': 2 }) },
    {
      kind: 'coverage',
      coverage: {
        id: uuidv7(),
        host_id: HOST.id,
        boot_id: 'b-1',
        start: stamp(nowMs - 60_000),
        end: stamp(nowMs),
        live_ms: 60_000,
        kernel_connections: 2,
        seen_connections: 2,
        losses: { 'capture.dropped': 3, 'watch.stalled_ms': 250 },
      },
    },
  ];
}

/** Fills the variables of Grafana as it does. */
function filled(expr: string): string {
  return expr
    .replaceAll('$__rate_interval', '20s')
    .replaceAll('$job', 'imdswatch')
    .replaceAll('$instance', '.*');
}

describe('a real Prometheus', {
  skip: prometheus === null || promtool === null ? 'prometheus is missing' : false,
}, () => {
  const directory = mkdtempSync(join(tmpdir(), 'imdswatch-prometheus-'));
  const endings: (() => unknown)[] = [() => rmSync(directory, { recursive: true, force: true })];
  let collector: Collector;
  let address: string;
  let metrics: string;

  interface Answer {
    status: string;
    error?: string;
    data: { result: { value: [number, string] }[] };
  }
  const ask = async (query: string) => {
    const answer = await fetch(`${address}/api/v1/query`, {
      method: 'POST',
      body: new URLSearchParams({ query }),
    });
    return (await answer.json()) as Answer;
  };
  const hasData = async (query: string) => {
    const { status, error, data } = await ask(query);
    assert.equal(status, 'success', `${query}: ${error}`);
    return data.result.length > 0;
  };

  before(async () => {
    const dataDir = join(directory, 'data');
    const settings = collectorSettings.parse({
      listen: '127.0.0.1:0',
      data_dir: dataDir,
      tls_self_signed: true,
      agent_token: TOKEN,
      owner_rules: ['tag:team'],
      metrics_group_tag: 'team',
    });
    collector = await startCollector(settings, pino({ level: 'silent' }));
    endings.unshift(() => collector.stop());
    const { port } = collector.address;
    const { certFile } = selfSignedFiles(dataDir);
    const ca = readFileSync(certFile);
    const token = join(directory, 'token');
    writeFileSync(token, await viewerToken(dataDir));

    const socket = new WebSocket(`wss://localhost:${port}${AGENT_PATH}`, {
      ca,
      headers: { authorization: `Bearer ${TOKEN}` },
    });
    endings.unshift(() => socket.terminate());
    await once(socket, 'open');
    const send = (frame: object) => socket.send(JSON.stringify(frame));
    const answers: { type: string }[] = [];
    socket.on('message', (data) => answers.push(JSON.parse(String(data))));
    send({ type: 'hello', protocol: 1, agent_version: '0.1.0', host: HOST, stream: randomUUID() });
    await eventually('a welcome', () => answers.some(({ type }) => type === 'welcome'));
    const nowMs = Date.now();
    send({ type: 'batch', seq: 1, records: recordsOf(nowMs - 61_000) });
    await eventually('an acknowledgement', () => answers.some(({ type }) => type === 'ack'));

    const own = await freePort();
    address = `http://127.0.0.1:${own}`;
    writeFileSync(
      join(directory, 'prometheus.json'),
      JSON.stringify({
        global: { scrape_interval: '1s', scrape_timeout: '1s', evaluation_interval: '1s' },
        rule_files: [RULES],
        scrape_configs: [
          {
            job_name: 'imdswatch',
            scheme: 'https',
            tls_config: { ca_file: certFile, server_name: 'localhost' },
            authorization: { credentials_file: token },
            static_configs: [{ targets: [`localhost:${port}`] }],
          },
        ],
      }),
    );
    const child = spawn(
      prometheus!,
      [
        `--config.file=${directory}/prometheus.json`,
        `--storage.tsdb.path=${directory}/tsdb`,
        `--web.listen-address=127.0.0.1:${own}`,
      ],
      { stdio: 'ignore' },
    );
    const ended = once(child, 'exit');
    endings.unshift(() => {
      child.kill();
      return ended;
    });
    await eventually('it scrapes', () => hasData('imdswatch_ready == 1').catch(() => false));
    send({ type: 'batch', seq: 2, records: recordsOf(nowMs) });
    await eventually('rates', () => hasData('sum(increase(imdswatch_calls_total[20s])) > 0'));
    await eventually('findings', () => hasData('imdswatch_offenders{severity="credentials"} > 0'));
    metrics = await textOf(`https://localhost:${port}/metrics`, readFileSync(token, 'utf8'), certFile);
  });
  after(async () => {
    for (const ending of endings) await ending();
  });

  it('takes the metrics, each counter of a stage under a name of its own', () => {
    // prom-client calls three gauges of Node itself `…_total`.
    const own = metrics.replace(/^(?:# (?:HELP|TYPE) )?nodejs_.*\n/gm, '');
    assert.match(own, /^process_cpu_seconds_total /m);
    execFileSync(promtool!, ['check', 'metrics'], { input: own, stdio: ['pipe', 'pipe', 'pipe'] });
    assert.doesNotMatch(metrics, /^imdswatch_other_counters\{/m);
  });

  it('has data for every metric that an alert asks for, and evaluates every rule', async () => {
    const { groups } = parse(readFileSync(RULES, 'utf8')) as {
      groups: { rules: { alert?: string; record?: string; expr: string }[] }[];
    };
    const rules = groups.flatMap((group) => group.rules);
    assert.ok(rules.length > 20);
    for (const { alert, record, expr } of rules) {
      assert.equal((await ask(expr)).status, 'success', expr);
      if (record !== undefined) await eventually(record, () => hasData(record));
      // The whole expression of an alert has no data while all is well.
      for (const [selector] of alert === undefined ? [] : expr.matchAll(/\b(?:imdswatch_\w+|up)\{[^}]*\}/g)) {
        assert.ok(await hasData(looser(selector)), `${alert}: ${selector}`);
      }
    }
    const evaluated = await fetch(`${address}/api/v1/rules`).then((answer) => answer.json());
    const health = (
      evaluated as { data: { groups: { rules: { name: string; health: string }[] }[] } }
    ).data.groups
      .flatMap((group) => group.rules)
      .filter((rule) => rule.health === 'err');
    assert.deepEqual(health, []);
  });

  for (const { name, dashboard } of allDashboards()) {
    it(`has data for every expression of ${name}`, async () => {
      checkForm(dashboard);
      // A rate needs two scrapes of each value, and some values begin with the first question to the API.
      for (const expr of expressionsOf(dashboard)) await eventually(expr, () => hasData(filled(expr)));
    });
  }
});

/** Leaves out the values that exist only when something has gone wrong. */
function looser(selector: string): string {
  return selector.replace(/,(?:reason|severity|stage)=~?"[^"]*"/g, '');
}

/** Checks what every release of Grafana asks of a classic dashboard, and that it names no data source. */
function checkForm({ title, panels, templating, schemaVersion }: Dashboard): void {
  assert.equal(schemaVersion, 36, title);
  const names = templating.list.map(({ name }) => name);
  assert.deepEqual(names.slice(0, 2), ['datasource', 'job']);
  assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
  const taken = new Set<string>();
  for (const { type, title: panel, gridPos, targets = [], datasource } of panels) {
    assert.ok(['row', 'stat', 'timeseries'].includes(type), `${panel}: ${type}`);
    assert.ok(gridPos.w >= 1 && gridPos.x + gridPos.w <= 24 && gridPos.h >= 1, panel);
    for (let x = gridPos.x; x < gridPos.x + gridPos.w; x += 1) {
      for (let y = gridPos.y; y < gridPos.y + gridPos.h; y += 1) {
        assert.ok(!taken.has(`${x} ${y}`), `${panel} lies over another panel`);
        taken.add(`${x} ${y}`);
      }
    }
    if (type === 'row') continue;
    assert.equal(datasource!.uid, `\${datasource}`, panel);
    assert.ok(targets.length > 0, panel);
    assert.equal(new Set(targets.map(({ refId }) => refId)).size, targets.length, panel);
    for (const target of targets) {
      assert.equal(target.datasource.uid, `\${datasource}`, panel);
      assert.match(target.expr, /job="\$job"/, panel);
    }
  }
  for (const { name, datasource } of templating.list.slice(1)) {
    assert.equal(datasource!.uid, `\${datasource}`, name);
  }
}

/** Makes the token as `imdswatch token create` does, beside the running collector. */
async function viewerToken(dataDir: string): Promise<string> {
  const admin = openAdmin(dataDir);
  const options = {
    agentToken: null,
    agentTokenHost: null,
    proxy: NO_PROXY,
    secure: true,
    publicUrl: null,
  };
  const access = await Access.open(new SqliteAdminStore(admin), options, pino({ level: 'silent' }));
  const request = { kind: 'person', name: 'prometheus', role: 'viewer' } as const;
  const { secret } = await access.createToken(request, { name: 'test', sourceAddress: null });
  await access.close();
  admin.close();
  return secret;
}

async function textOf(url: string, token: string, ca: string): Promise<string> {
  const asked = get(url, { ca: readFileSync(ca), headers: { authorization: `Bearer ${token}` } });
  const [answer] = (await once(asked, 'response')) as [IncomingMessage];
  assert.equal(answer.statusCode, 200);
  return text(answer);
}
