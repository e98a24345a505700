/** A running watch and all that is bad for it: no crash, no hang, bounded memory, each counted and said. */
import assert from 'node:assert/strict';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Lab } from '../../lab/lab.ts';
import { IMDS_IPV4 } from '../../protocol/endpoints.ts';
import { eventually } from '../support/collector/stored.ts';
import {
  assertSame,
  isCapturing,
  MAIN,
  nft,
  RAW_TCP,
  residentBytes,
  skip,
  startWatch,
  truthsSince,
  untilReported,
} from '../support/lab/watch_lab.ts';
import type { Watcher } from '../support/lab/watcher.ts';

const URL4 = `http://${IMDS_IPV4}/latest/meta-data/instance-id`;
const BAD_CLIENTS = join(import.meta.dirname, '../support/lab/bad_clients.py');
const MIB = 1_048_576;

describe('imdswatch watch under bad input', () => {
  let lab: Lab;
  let watcher: Watcher | null = null;
  before(async () => {
    if (skip) return;
    lab = await Lab.create({ name: 'badinput' });
  });
  afterEach(async () => {
    await watcher?.stop();
    watcher = null;
    if (!skip) await lab.metadata.reset();
  });
  after(() => lab?.close());

  const bad = (way: string, count = 1) =>
    lab.run(['python3', BAD_CLIENTS, IMDS_IPV4, way, String(count)], { timeoutMs: 60_000 });
  const curl = () => lab.run(['curl', '-s', '-o', '/dev/null', '-m', '5', URL4]);

  it('garbage, endless heads, heads without end, no UTF-8, huge bodies, slow clients', { skip }, async () => {
    watcher = await startWatch(lab);
    await untilReported(lab, watcher);
    const before = residentBytes(watcher.pid);
    for (const way of [
      'tls',
      'zeros',
      'endless-header',
      'endless-headers',
      'endless-line',
      'no-end',
      'no-end-reset',
      'half-a-line',
      'half-a-line-reset',
      'no-utf8',
      'huge-body',
      'wrong-length',
    ]) {
      const { status, stderr } = await bad(way);
      assert.equal(status, 0, `${way}: ${stderr}`);
    }
    await bad('garbage', 50);
    await bad('slow-loris', 200);
    await curl();
    // A request that is not read to its end shows with the end of its connection.
    await sleep(1_500);
    const after = residentBytes(watcher.pid);
    assert.ok(after - before < 24 * MIB, `grew by ${(after - before) / MIB} MiB`);
    const truths = await truthsSince(lab, watcher);
    const good = truths.filter(({ method }) => method !== null);
    const reported = watcher.calls.filter(({ outcome }) => outcome === 'answered');
    for (const truth of good.filter(({ status }) => status !== null)) {
      const found = reported.filter((call) => call['source.port'] === truth.clientPort);
      assert.equal(found.length, 1, `${truth.method} ${truth.target}`);
      assert.equal(found[0]!['imds.version'], truth.version);
      assert.equal(found[0]!['http.response.status_code'], truth.status);
    }
    assert.ok(watcher.calls.some((call) => call['url.path'] === '/latest/%FF%FE%C3('));
    const { status } = await watcher.stop();
    assert.equal(status, 0, watcher.complaints);
    assert.deepEqual(watcher.invalid, []);
    for (const counter of ['malformed_requests', 'unfinished_requests', 'unjudged_answers']) {
      assert.match(watcher.complaints, new RegExp(`conversation\\.${counter} [1-9]`));
    }
  });

  it('20,000 half-open connections: the oldest are evicted, and calls are seen', { skip }, async () => {
    await nft(
      lab.hostNamespace,
      'table inet raw_tcp { chain out { type filter hook output priority 0; tcp sport 20000-39999 tcp flags & rst == rst drop\n}\n}',
    );
    // Calls come from other ports than the flood.
    await lab.run(['sh', '-c', 'echo 60000 60999 > /proc/sys/net/ipv4/ip_local_port_range']);
    watcher = await startWatch(lab);
    const flood = async (firstPort: number) => {
      const { status, stderr } = await lab.run([
        'python3',
        RAW_TCP,
        lab.hostAddresses.ipv4,
        IMDS_IPV4,
        `${firstPort}`,
        'half-open',
        '10000',
      ]);
      assert.equal(status, 0, stderr);
      await untilReported(lab, watcher!);
    };
    // At most 16,384 are kept; a test in test/unit/agent/conversation counts them exactly.
    await flood(20_000);
    await flood(30_000);
    for (let n = 0; n < 5; n++) await curl();
    await assertSame(lab, watcher);
    assert.equal((await watcher.stop()).status, 0);
    assert.match(watcher.complaints, /conversation\.half_open_evicted [1-9]/);
  });

  it('reports the packets that the kernel dropped while it was stopped', { skip }, async () => {
    await lab.metadata.set({ connection: 'keep-alive' });
    // The smallest ring of collected packets: the packets of 6,000 calls are more than twice as many bytes.
    watcher = await startWatch(lab, '--capture-buffer-bytes', String(2 * MIB));
    process.kill(watcher.pid, 'SIGSTOP');
    const { status, stderr } = await bad('keep-alive', 6_000);
    assert.equal(status, 0, stderr);
    process.kill(watcher.pid, 'SIGCONT');
    await lab.metadata.reset();
    await untilReported(lab, watcher);
    watcher.calls.length = 0;
    const before = (await truthsSince(lab, watcher)).length;
    for (let n = 0; n < 5; n++) await curl();
    await watcher.settle(5);
    const truths = (await truthsSince(lab, watcher)).slice(before);
    assert.deepEqual(
      watcher.calls.map((call) => call['source.port']),
      truths.map(({ clientPort }) => clientPort),
    );
    assert.equal((await watcher.stop()).status, 0);
    assert.match(watcher.complaints, /capture\.dropped \d{2,}/);
  });

  it('a reader that stops reading costs no more than 4 MiB, does not block the end, and its lost lines are reported', {
    skip,
  }, async () => {
    await lab.metadata.set({ connection: 'keep-alive' });
    const running = lab.spawn([process.execPath, MAIN, 'watch', '--json']);
    let complaints = '';
    running.child.stderr?.on('data', (chunk) => {
      complaints += chunk;
    });
    await eventually('the capture is open', () => isCapturing(lab));
    // The ring holds some thousand of them even if the watch does not run meanwhile, and 4 MiB are some 700 lines.
    for (let thousands = 0; thousands < 13; thousands++) await bad('keep-alive', 1_000);
    // Nobody has read a byte so far; the end must come all the same.
    running.child.kill('SIGTERM');
    const ended = await Promise.race([
      new Promise((resolve) => running.child.once('exit', resolve)),
      sleep(30_000, 'hangs', { ref: false }),
    ]);
    assert.equal(ended, 0, complaints);
    assert.match(complaints, /output\.dropped [1-9]/);
    // The file line_output.test.ts shows that memory is bounded with it.
    const unread = Number(/output\.unread_bytes (\d+)/.exec(complaints)?.[1]);
    assert.ok(unread > 3 * MIB && unread < 4 * MIB + 65_536, complaints);
    running.child.stdout?.destroy();
    await running.exited;
  });

  it('a reader that has gone ends it, a full disk fails it', { skip }, async () => {
    const command = `${process.execPath} ${MAIN} watch --json`;
    const piped = lab.spawn(['sh', '-c', `{ ${command}; echo "status $?" >&2; } | head -1`]);
    let out = '';
    let complaints = '';
    piped.child.stdout?.on('data', (chunk) => {
      out += chunk;
    });
    piped.child.stderr?.on('data', (chunk) => {
      complaints += chunk;
    });
    for (let n = 0; n < 100 && !complaints.includes('status'); n++) {
      await curl();
      await sleep(100);
    }
    assert.equal(out.trim().split('\n').length, 1);
    assert.match(complaints, /status 0/);
    await piped.stop();

    const full = lab.spawn(['sh', '-c', `exec ${command} > /dev/full`]);
    let ended: unknown = null;
    let words = '';
    full.child.stderr?.on('data', (chunk) => {
      words += chunk;
    });
    full.child.once('exit', (code) => {
      ended = code;
    });
    for (let n = 0; n < 100 && ended === null; n++) {
      await curl();
      await sleep(100);
    }
    assert.equal(ended, 1, words);
    assert.match(words, /^imdswatch: stdout cannot be written: .*ENOSPC/m);
    assert.doesNotMatch(words, /\n\s+at /, 'no stack');
  });

  it('signals end it with 0', { skip }, async () => {
    for (const signal of ['SIGINT', 'SIGTERM'] as const) {
      watcher = await startWatch(lab);
      assert.equal((await watcher.stop(signal)).status, 0, signal);
    }
  });

  it('without a capability: said by its name', { skip }, async () => {
    const as = async (...options: string[]) => {
      const running = lab.spawn(['setpriv', ...options, '--', process.execPath, MAIN, 'watch']);
      let words = '';
      running.child.stdout?.resume();
      running.child.stderr?.on('data', (chunk) => {
        words += chunk;
      });
      let status: number | string | null = null;
      void running.exited.then((end) => {
        status = end.status;
      });
      await eventually('it ends or watches', () => status !== null || words.includes('Watching'));
      const found = { words, status: status ?? 'runs' };
      await running.stop();
      return found;
    };
    const noRaw = await as('--bounding-set=-net_raw', '--inh-caps=-net_raw');
    assert.equal(noRaw.status, 3, noRaw.words);
    assert.match(noRaw.words, /CAP_NET_RAW/);
    const noBpf = await as('--bounding-set=-bpf,-sys_admin,-perfmon', '--inh-caps=-bpf,-sys_admin,-perfmon');
    assert.equal(noBpf.status, 'runs', noBpf.words);
    assert.equal(noBpf.words.match(/eBPF\) is not possible/g)?.length, 1, noBpf.words);
    assert.match(noBpf.words, /CAP_(BPF|SYS_ADMIN|PERFMON)/);
    const nobody = await as('--reuid=65534', '--regid=65534', '--clear-groups');
    assert.equal(nobody.status, 3, nobody.words);
    assert.match(nobody.words, /CAP_NET_RAW/);
  });
});
