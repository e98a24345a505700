/** Packets that vanish both ways, by a firewall in a network namespace: neither side is told that the connection is gone. */
import assert from 'node:assert/strict';
import { type ChildProcess, execFileSync, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, test } from 'node:test';
import { deleteNamespace, labTag } from '../../../lab/namespaces.ts';
import { AgentProcess, kill, startCollectorProcess, TOKEN } from '../../support/collector/processes.ts';
import { eventually, range, readStored } from '../../support/collector/stored.ts';

const hasTools = ['ip', 'nft'].every((tool) => spawnSync(tool, ['-V']).error === undefined);
const skip =
  process.getuid?.() !== 0 ? 'needs root for a network namespace' : hasTools ? false : 'needs ip and nft';
const CALLS = 1500;

const endings: (() => unknown)[] = [];
afterEach(async () => {
  for (const ending of endings.splice(0).reverse()) await ending();
});

function newDirectory(): string {
  const directory = mkdtempSync(join(tmpdir(), 'imdswatch-half-open-'));
  endings.push(() => rmSync(directory, { recursive: true, force: true }));
  return directory;
}

function started(child: ChildProcess): void {
  endings.push(() => kill(child));
}

class Firewall {
  readonly namespace = labTag('half');

  constructor() {
    execFileSync('ip', ['netns', 'add', this.namespace]);
    endings.push(() => deleteNamespace(this.namespace));
    this.#run('ip', 'link', 'set', 'lo', 'up');
  }

  cut(port: number): void {
    const rule = `tcp dport ${port} drop; tcp sport ${port} drop`;
    this.#run('nft', `table inet cut { chain in { type filter hook input priority 0; ${rule}; }; }`);
  }

  mend(): void {
    this.#run('nft', 'delete table inet cut');
  }

  #run(...command: string[]): void {
    execFileSync('ip', ['netns', 'exec', this.namespace, ...command], { stdio: 'pipe' });
  }
}

test('two cuts under load: noticed by the silence, nothing lost, nothing twice', { skip }, async () => {
  const firewall = new Firewall();
  const { namespace } = firewall;
  const dataDir = newDirectory();
  const { child, port } = await startCollectorProcess(dataDir, 0, { namespace });
  started(child);
  const sender = new AgentProcess(
    {
      url: `ws://127.0.0.1:${port}`,
      token: TOKEN,
      spoolDir: newDirectory(),
      spoolMaxBytes: 64 * 1024 * 1024,
      heartbeatMs: 1_000,
      from: 0,
      to: CALLS,
      burst: 10,
      pauseMs: 50,
      detail: 'all',
    },
    { namespace },
  );
  started(sender.child);
  const said = (words: string) => sender.logLines.filter((line) => line.includes(words)).length;
  const lost = () => said('no connection to the collector');
  const connected = () => said('"msg":"connected"');
  for (const made of [300, 900]) {
    await sender.untilMade(made);
    // On a busy machine an answer can be so late that a connection ends before the cut.
    await eventually('connected', () => connected() > lost());
    const [lostBefore, connectedBefore] = [lost(), connected()];
    firewall.cut(port);
    // Data that is sent meanwhile stays in the kernel and is never delivered.
    await eventually('noticed', () => lost() > lostBefore);
    firewall.mend();
    await eventually('back', () => connected() > connectedBefore);
  }
  await sender.untilDone();
  await eventually('all calls stored', () => readStored(dataDir).numbers.length >= CALLS);
  assert.deepEqual(readStored(dataDir).numbers, range(0, CALLS));
  const counters = await sender.stop();
  assert.ok(counters['uplink']!['half_open']! >= 2, 'the agent noticed by itself');
  assert.ok(counters['uplink']!['batches_resent']! > 0);
  assert.deepEqual([counters['spool']!['acknowledged'], counters['spool']!['lost']], [CALLS, 0]);
});
