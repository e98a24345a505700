/** The command itself at a real collector: it is killed, its disk is full, and the collector goes away and comes back. */
import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, test } from 'node:test';
import { setTimeout as delay } from 'node:timers/promises';
import { VisitorBench } from '../../../support/collector/access/visitor_bench.ts';
import { HOST, makeCall } from '../../../support/collector/calls.ts';
import { Bench } from '../../../support/collector/in_process.ts';
import { Peer } from '../../../support/collector/peer.ts';
import { kill } from '../../../support/collector/processes.ts';
import { eventually } from '../../../support/collector/stored.ts';

const own = new Bench();
const children = new Set<ChildProcess>();
after(async () => {
  for (const child of children) await kill(child);
  await own.end();
});
const BY = { name: 'test', sourceAddress: null };

/** An agent of a host of its own. */
async function agent(url: string): Promise<(count: number) => Promise<string[]>> {
  const id = `i-${randomUUID().slice(0, 8)}`;
  const peer = new Peer(own, url);
  await peer.hello({ stream: randomUUID(), host: { ...HOST, id } });
  let seq = 0;
  return async (count) => {
    const calls = Array.from({ length: count }, () => makeCall({ host: { ...HOST, id } }));
    seq += 1;
    peer.send({ type: 'batch', seq, records: calls.map((call) => ({ kind: 'call', call })) });
    await peer.next('ack');
    return calls.map((call) => call.id);
  };
}

function linesOf(directory: string): { whole: string[]; cut: number } {
  const texts = readdirSync(directory)
    .filter((name) => name.startsWith('calls.ndjson'))
    .map((name) => readFileSync(join(directory, name), 'utf8'));
  return {
    whole: texts.flatMap((text) => text.split('\n').slice(0, -1)),
    cut: texts.filter((text) => text !== '' && !text.endsWith('\n')).length,
  };
}

test('a follower that is killed, and whose collector and disk go away, prints each call', {
  timeout: 120_000,
}, async () => {
  const dataDir = own.directory();
  const directory = own.directory();
  let bench = await VisitorBench.open({ data_dir: dataDir });
  const { port } = bench.collector.address;
  const { secret } = await bench.access.createToken({ kind: 'person', name: 'siem', role: 'viewer' }, BY);
  const tokenFile = join(directory, 'token');
  writeFileSync(tokenFile, secret);
  const cursorFile = join(directory, 'cursor');
  const said: string[] = [];
  const start = (limit = '') => {
    const args = [
      ...['cli/main.ts', 'calls', '--follow', '--collector', `http://127.0.0.1:${port}`],
      ...['--collector-token-file', tokenFile, '--cursor-file', cursorFile],
      ...[
        '--output',
        join(directory, 'calls.ndjson'),
        '--output-max-bytes',
        '65536',
        '--output-files',
        '100',
      ],
    ];
    // The shell counts the limit in units of 512 or 1,024 bytes.
    const child = spawn('sh', ['-c', `${limit} exec "$@"`, 'sh', process.execPath, ...args], {
      env: { ...process.env, IMDSWATCH_CONFIG: undefined },
      stdio: ['ignore', 'ignore', 'pipe'],
    });
    children.add(child);
    child.stderr.on('data', (text) => said.push(String(text)));
    return child;
  };
  const cursor = () => (existsSync(cursorFile) ? readFileSync(cursorFile, 'utf8') : '');
  const moved = async (before: string) => {
    await eventually('the cursor moves', () => cursor() !== before, 60_000);
  };

  let follower = start();
  await moved('');
  const expected: string[] = [];
  let write = await agent(bench.collector.address.url);
  for (const waitMs of [0, 150, 400]) {
    const before = cursor();
    expected.push(...(await write(60)));
    if (waitMs > 0) await moved(before);
    expected.push(...(await write(30)));
    await delay(waitMs);
    await kill(follower);
    follower = start();
  }
  await bench.end();
  bench = await VisitorBench.open({ data_dir: dataDir, listen: `127.0.0.1:${port}` });
  write = await agent(bench.collector.address.url);
  expected.push(...(await write(50)));
  const isPrinted = (id: string) => linesOf(directory).whole.some((line) => line.includes(id));
  await eventually('the calls after the restart', () => isPrinted(expected.at(-1)!), 60_000);
  follower.kill('SIGTERM');
  assert.deepEqual(await once(follower, 'exit'), [0, null], said.join(''));

  const before = cursor();
  expected.push(...(await write(40)));
  follower = start('ulimit -f 1;');
  assert.deepEqual(await once(follower, 'exit'), [1, null], said.join(''));
  assert.match(said.at(-1)!, /calls\.ndjson cannot be written: EFBIG/);
  assert.equal(cursor(), before, 'what is not on the disk is not passed');
  follower = start();
  await moved(before);
  follower.kill('SIGTERM');
  await once(follower, 'exit');

  const { whole, cut } = linesOf(directory);
  const texts = new Map<string, string>();
  for (const line of whole) {
    const { id } = JSON.parse(line) as { id: string };
    assert.equal(texts.get(id) ?? line, line, 'what comes again is the same');
    texts.set(id, line);
  }
  assert.deepEqual([...texts.keys()].sort(), [...expected].sort());
  assert.ok(cut <= 5, `${cut} files end in the middle of a line`);
  await bench.end();
});
