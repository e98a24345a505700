/** Sends alerts to a real Alertmanager, where Debian's package is installed. */
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { newDestination } from '../../../../../collector/contract/destination.ts';
import { benchOf } from '../../../../support/collector/alert/alert_benches.ts';
import { hostOf } from '../../../../support/collector/alert/findings.ts';
import { eventually } from '../../../../support/collector/stored.ts';

const PROGRAM = '/usr/bin/prometheus-alertmanager';
const directory = mkdtempSync(join(tmpdir(), 'imdswatch-alertmanager-'));
after(() => rmSync(directory, { recursive: true, force: true }));

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

interface ShownAlert {
  labels: Record<string, string>;
  annotations: Record<string, string>;
  startsAt: string;
  endsAt: string;
}

test('a real Alertmanager shows what fires, keeps it while it is sent again, and knows its end', {
  skip: existsSync(PROGRAM) ? false : `${PROGRAM} is not installed`,
}, async () => {
  const config = join(directory, 'config.yml');
  writeFileSync(config, 'route: { receiver: none }\nreceivers: [{ name: none }]\n');
  const port = await freePort();
  const flags = [`--config.file=${config}`, `--storage.path=${directory}/data`, '--cluster.listen-address='];
  const child = spawn(PROGRAM, [...flags, `--web.listen-address=127.0.0.1:${port}`], { stdio: 'ignore' });
  const ended = new Promise((resolve) => child.once('exit', resolve));
  try {
    const url = `http://127.0.0.1:${port}`;
    const shown = async () => (await (await fetch(`${url}/api/v2/alerts`)).json()) as ShownAlert[];
    await eventually('it listens', () =>
      fetch(`${url}/-/ready`).then(
        ({ ok }) => ok,
        () => false,
      ),
    );
    const bench = benchOf();
    // Alertmanager compares times with its own clock.
    await bench.close();
    bench.nowMs = Date.now() - 60 * 60_000;
    bench.open();
    const destination = {
      name: 'am',
      rules: ['host_silent'],
      config: { kind: 'http', preset: 'alertmanager', values: { url } },
    };
    await bench.alerts.addDestination(newDestination.parse(destination), 'joe');
    bench.settle();
    bench.hosts = [hostOf(1, { account: '123456789012', region: 'eu-central-1' })];
    await bench.alerts.evaluate();
    bench.nowMs = Date.now() - 60_000;
    bench.hosts = [{ ...bench.hosts[0]!, state: 'silent', verdict: 'unproven' }];
    await bench.alerts.evaluate();
    await bench.alerts.sendDue();
    await eventually('the alert', async () => (await shown()).length === 1);
    const [alert] = await shown();
    const { alertname, severity, name, account } = alert!.labels;
    assert.deepEqual(
      [alertname, severity, name, account],
      ['host_silent', 'warning', 'web-1', '123456789012'],
    );
    assert.match(alert!.annotations['summary']!, /has gone silent/);
    const before = bench.alerts.counters()['sent_again'];
    bench.nowMs = Date.now();
    await bench.alerts.sendDue();
    assert.equal(bench.alerts.counters()['sent_again'], before! + 1);
    assert.equal((await shown()).length, 1, 'the same alert');
    bench.hosts = [{ ...bench.hosts[0]!, state: 'online' }];
    await bench.alerts.evaluate();
    await bench.alerts.sendDue();
    assert.equal(bench.alerts.counters()['attempts_failed'], 0);
    await eventually('its end', async () => (await shown()).length === 0);
  } finally {
    child.kill();
    await ended;
  }
});
