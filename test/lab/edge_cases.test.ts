/** Real packets as no textbook shows them: raw segments, interfaces that come and go, one frame seen many times. */
import assert from 'node:assert/strict';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, afterEach, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { Lab } from '../../lab/lab.ts';
import { addLink, ip } from '../../lab/namespaces.ts';
import { type Call, call as callSchema } from '../../protocol/call.ts';
import { IMDS_IPV4, IMDS_IPV6 } from '../../protocol/endpoints.ts';
import { eventually } from '../support/collector/stored.ts';
import {
  assertSame,
  isCapturing,
  MAIN,
  nft,
  RAW_TCP,
  skip,
  startWatch,
  truthsSince,
} from '../support/lab/watch_lab.ts';
import type { Watcher } from '../support/lab/watcher.ts';

const URL4 = `http://${IMDS_IPV4}/latest/meta-data/instance-id`;
const URL6 = `http://[${IMDS_IPV6}]/latest/meta-data/instance-id`;

describe('imdswatch watch at the edges', () => {
  let lab: Lab;
  let watcher: Watcher | null = null;
  before(async () => {
    if (skip) return;
    lab = await Lab.create({ name: 'edges' });
    await nft(
      lab.hostNamespace,
      'table inet raw_tcp { chain out { type filter hook output priority 0; tcp sport 20000-39999 tcp flags & rst == rst drop\n}\n}',
    );
  });
  afterEach(async () => {
    await watcher?.stop();
    watcher = null;
  });
  after(() => lab?.close());

  it('raw segments: reversed, doubled, overlapping, wrapped, stray, late', { skip }, async () => {
    watcher = await startWatch(lab);
    const ways = [
      'plain',
      'reversed',
      'doubled',
      'overlapping',
      'overlapping-shuffled',
      'wrap',
      'stray-data',
      'keep-alive-probe',
      'late-copy',
      'no-handshake-ack',
    ];
    let port = 20_000;
    for (const way of ways) {
      const { stdout, stderr, status } = await lab.run([
        'python3',
        RAW_TCP,
        lab.hostAddresses.ipv4,
        IMDS_IPV4,
        String(port++),
        way,
      ]);
      assert.equal(status, 0, `${way}: ${stderr}`);
      assert.match(stdout, /^HTTP\/1.1 200/, way);
    }
    await assertSame(lab, watcher);
    assert.equal(watcher.calls.length, ways.length);
    assert.deepEqual([...new Set(watcher.calls.map((call) => call['imds.version']))], [1]);
  });

  it('a named interface that goes down and up, is deleted and made again', { skip }, async () => {
    const { hostNamespace: host, metadataNamespace: imds } = lab;
    const { ipv4, ipv6 } = lab.hostAddresses;
    // An interface that goes down loses its IPv6 addresses, and its routes.
    const restore = async () => {
      await ip('-n', host, 'address', 'replace', `${ipv4}/24`, 'dev', 'eth0');
      await ip('-n', host, 'route', 'replace', `${IMDS_IPV4}/32`, 'dev', 'eth0', 'src', ipv4);
      if (ipv6 === null) return;
      await ip('-n', host, 'address', 'replace', `${ipv6}/64`, 'dev', 'eth0', 'nodad');
      await ip('-n', host, '-6', 'route', 'replace', `${IMDS_IPV6}/128`, 'dev', 'eth0', 'src', ipv6);
    };
    const curl = async (times: number) => {
      for (let n = 0; n < times; n++) {
        const { status } = await lab.run(['curl', '-s', '-o', '/dev/null', '-m', '5', URL4]);
        assert.equal(status, 0);
      }
    };
    watcher = await startWatch(lab, '--interface', 'eth0');
    await curl(3);
    await ip('-n', host, 'link', 'set', 'eth0', 'down');
    await sleep(1_500);
    await ip('-n', host, 'link', 'set', 'eth0', 'up');
    await restore();
    await curl(3);
    await assertSame(lab, watcher);

    await ip('-n', host, 'link', 'delete', 'eth0');
    await eventually('the interface is missed', () =>
      watcher!.complaints.includes('the interface eth0 is gone'),
    );
    await addLink(host, 'eth0', imds, 'eth0');
    const onService = [ipv4.replace(/\.1$/, '.2/24'), `${IMDS_IPV4}/32`];
    for (const address of onService) await ip('-n', imds, 'address', 'add', address, 'dev', 'eth0');
    for (const address of ipv6 === null ? [] : [ipv6.replace(/::1$/, '::2/64'), `${IMDS_IPV6}/128`]) {
      await ip('-n', imds, 'address', 'add', address, 'dev', 'eth0', 'nodad');
    }
    await restore();
    await eventually('the interface is found', () =>
      watcher!.complaints.includes('the interface eth0 is back'),
    );
    await curl(3);
    await assertSame(lab, watcher);
    const { status } = await watcher.stop('SIGINT');
    assert.equal(status, 0, watcher.complaints);
    assert.match(watcher.complaints, /capture\.blind 1/);
  });

  it('only the named interface is watched', { skip }, async () => {
    await ip('-n', lab.hostNamespace, 'link', 'add', 'other0', 'type', 'bridge');
    await ip('-n', lab.hostNamespace, 'link', 'set', 'other0', 'up');
    const running = lab.spawn([process.execPath, MAIN, 'watch', '--json', '-i', 'other0']);
    let out = '';
    running.child.stdout?.on('data', (chunk) => {
      out += chunk;
    });
    await eventually('the capture is open', () => isCapturing(lab));
    await lab.run(['curl', '-s', '-o', '/dev/null', URL4]);
    await sleep(500);
    await running.stop('SIGTERM', 30_000);
    assert.equal((await running.exited).status, 0);
    assert.equal(out, '');
    const missing = await lab.run([process.execPath, MAIN, 'watch', '-i', 'nosuch0']);
    assert.equal(missing.status, 2);
    assert.match(missing.stderr, /--interface nosuch0/);
  });

  it('a connection that began before the watch, its next requests', { skip }, async () => {
    await lab.metadata.set({ connection: 'keep-alive' });
    const program = `import socket, sys
c = socket.create_connection(("${IMDS_IPV4}", 80))
def ask(path):
    c.sendall(f"GET {path} HTTP/1.1\\r\\nHost: h\\r\\n\\r\\n".encode())
    while b"\\r\\n\\r\\n" not in c.recv(65536): pass
ask("/latest/meta-data/ami-id")
print("asked", flush=True)
sys.stdin.readline()
ask("/latest/meta-data/instance-id")
ask("/latest/meta-data/instance-type")
print("done", flush=True)
sys.stdin.readline()
`;
    const early = lab.spawn(['python3', '-c', program]);
    await new Promise((resolve) => early.child.stdout?.once('data', resolve));
    watcher = await startWatch(lab);
    // It lives until its calls were seen: without the kernel's record it is looked for when they are.
    const done = new Promise((resolve) => early.child.stdout?.once('data', resolve));
    early.child.stdin?.write('go\n');
    await done;
    await assertSame(lab, watcher);
    early.child.stdin?.write('end\n');
    await early.exited;
    await lab.metadata.reset();
    assert.deepEqual(
      watcher.calls.map((call) => call['url.path']),
      ['/latest/meta-data/instance-id', '/latest/meta-data/instance-type'],
    );
    assert.ok(
      watcher.calls.every((call) => call.process?.pid === early.pid),
      'its owner is found',
    );
  });

  it('HTTP/1.0, chunks, until close, resets, throttling, IPv6', { skip }, async () => {
    watcher = await startWatch(lab);
    const targets = [
      ['curl', '-s', '-m', '5', URL4],
      ['curl', '-s', '-m', '5', '-0', URL4],
      ['curl', '-s', '-m', '5', '-I', URL4],
    ];
    if (lab.hostAddresses.ipv6 !== null) targets.push(['curl', '-s', '-m', '5', URL6]);
    for (const framing of ['length', 'chunked', 'until-close'] as const) {
      for (const connection of ['close', 'keep-alive'] as const) {
        await lab.metadata.set({ framing, connection });
        for (const target of targets) await lab.run(target);
      }
    }
    for (const answer of ['throttle', 'reset'] as const) {
      await lab.metadata.set({ answer });
      for (const target of targets) await lab.run(target);
      await lab.metadata.reset();
    }
    await assertSame(lab, watcher);
    const resets = watcher.calls.filter(({ outcome }) => outcome === 'reset');
    assert.equal(resets.length, targets.length);
  });

  it('a frame on a veth, a bridge and a masqueraded interface is one call, with the address of its caller', {
    skip,
  }, async () => {
    const inner = `${lab.tag}-box`;
    const { hostNamespace: host } = lab;
    await ip('netns', 'add', inner);
    try {
      await ip('-n', host, 'link', 'add', 'br0', 'type', 'bridge');
      await addLink(host, 'veth0', inner, 'eth0');
      await ip('-n', host, 'link', 'set', 'veth0', 'master', 'br0');
      await ip('-n', host, 'link', 'set', 'br0', 'up');
      await ip('-n', host, 'address', 'add', '10.0.77.1/24', 'dev', 'br0');
      await ip('-n', inner, 'address', 'add', '10.0.77.2/24', 'dev', 'eth0');
      await ip('-n', inner, 'route', 'add', 'default', 'via', '10.0.77.1');
      await lab.run(['sh', '-c', 'echo 1 > /proc/sys/net/ipv4/ip_forward']);
      await nft(
        host,
        'table ip masq { chain post { type nat hook postrouting priority 100; oifname eth0 ip saddr 10.0.77.0/24 masquerade\n}\n}',
      );
      watcher = await startWatch(lab);
      const before = (await truthsSince(lab, watcher)).length;
      const inBox = (...argv: string[]) => lab.run(['nsenter', `--net=/run/netns/${inner}`, ...argv]);
      for (let n = 0; n < 20; n++)
        assert.equal((await inBox('curl', '-s', '-o', '/dev/null', '-m', '5', URL4)).status, 0);
      const truths = (await truthsSince(lab, watcher)).length - before;
      await watcher.settle(truths);
      await sleep(300);
      assert.equal(truths, 20);
      assert.equal(watcher.calls.length, 20);
      for (const call of watcher.calls) {
        assert.equal(call['source.address'], '10.0.77.2');
        assert.deepEqual(
          [call.outcome, call['http.response.status_code'], call['imds.version']],
          ['answered', 200, 1],
        );
        assert.equal(
          call['attribution.confidence'],
          'exact',
          `${watcher.calls.indexOf(call)} ${watcher.complaints}`,
        );
        assert.match(call.process?.['executable.path'] ?? '', /curl$/);
      }
    } finally {
      await ip('netns', 'delete', inner);
      await ip('-n', host, 'link', 'delete', 'br0').catch(() => {});
    }
  });

  it('imdswatch read gives from captures what watch gave live', { skip }, async () => {
    const files = {
      any: join(lab.home, 'any.pcap'),
      eth0: join(lab.home, 'eth0.pcap'),
      nano: join(lab.home, 'nano.pcap'),
    };
    const captures = [
      ['-i', 'any', '-w', files.any],
      ['-i', 'eth0', '-w', files.eth0],
      ['-i', 'any', '-y', 'LINUX_SLL', '--nano', '-w', files.nano],
    ].map((options) => {
      // In immediate mode a packet takes a slot of the snap length: without these two tcpdump has room for eight.
      const room = ['--immediate-mode', '-s', '4096', '-B', '32768'];
      return lab.spawn(['tcpdump', '-Z', 'root', '-U', '-n', ...room, ...options, 'tcp', 'port', '80']);
    });
    await Promise.all(
      captures.map((capture) => new Promise((resolve) => capture.child.stderr?.once('data', resolve))),
    );
    await sleep(300);
    watcher = await startWatch(lab);
    await lab.metadata.set({ connection: 'keep-alive' });
    await lab.run(['curl', '-s', '-m', '5', URL4, `${URL4}?a=b`, '-o', '/dev/null', '-o', '/dev/null']);
    await lab.metadata.reset();
    await lab.run([
      'curl',
      '-s',
      '-m',
      '5',
      '-X',
      'PUT',
      '-H',
      'X-aws-ec2-metadata-token-ttl-seconds: 60',
      '-o',
      '/dev/null',
      `http://${IMDS_IPV4}/latest/api/token`,
    ]);
    if (lab.hostAddresses.ipv6 !== null) await lab.run(['curl', '-s', '-m', '5', URL6]);
    let port = 30_000;
    for (const way of ['reversed', 'overlapping-shuffled', 'wrap', 'late-copy']) {
      await lab.run(['python3', RAW_TCP, lab.hostAddresses.ipv4, IMDS_IPV4, String(port++), way]);
    }
    await lab.metadata.set({ answer: 'reset' });
    await lab.run(['curl', '-s', '-m', '5', URL4]);
    await lab.metadata.reset();
    await assertSame(lab, watcher);
    for (const capture of captures) await capture.stop('SIGINT');
    const ports = new Set(watcher.calls.map((call) => call['source.port']));
    const shown = (calls: Call[]) =>
      calls
        .map((call) =>
          [
            'http.request.method',
            'url.path',
            'url.query',
            'user_agent.original',
            'http.response.status_code',
            'outcome',
            'imds.version',
            'imds.kind',
            'imds.category',
            'imds.server_version',
            'imds.endpoint',
            'source.address',
            'source.port',
          ]
            .map((key) => call[key as keyof typeof call])
            .join(' '),
        )
        .sort();
    for (const [name, file] of Object.entries(files)) {
      const { stdout, stderr, status } = await lab.run([process.execPath, MAIN, 'read', file, '--json']);
      assert.equal(status, 0, stderr);
      const calls = stdout
        .trim()
        .split('\n')
        .map((line) => callSchema.parse(JSON.parse(line)));
      const same = calls.filter((call) => ports.has(call['source.port']));
      assert.deepEqual(shown(same), shown(watcher.calls), name);
      assert.ok(calls.every((call) => call.process === null && call['attribution.method'] === 'none'));
      const times = new Map(
        watcher.calls.map((call) => [`${call['source.port']} ${call['url.query']}`, Date.parse(call.time)]),
      );
      for (const call of same) {
        const off = Math.abs(
          Date.parse(call.time) - times.get(`${call['source.port']} ${call['url.query']}`)!,
        );
        assert.ok(off < 1_000, `${name}: ${off} ms apart`);
      }
    }
    const people = await lab.run([process.execPath, MAIN, 'read', files.any]);
    assert.match(people.stdout, /IMDSv1/);
    assert.doesNotMatch(people.stdout, /\p{Cc}(?<!\n)/u, 'no colour into a pipe');
    const closed = await lab.run([
      'sh',
      '-c',
      `${process.execPath} ${MAIN} read ${files.any} --json | head -1`,
    ]);
    assert.equal(closed.stdout.trim().split('\n').length, 1);
    assert.equal(closed.stderr, '');
    writeFileSync(join(lab.home, 'cut.pcap'), Buffer.alloc(0));
    assert.equal((await lab.run([process.execPath, MAIN, 'read', join(lab.home, 'cut.pcap')])).status, 2);
    await lab.run(['sh', '-c', `head -c 2000 ${files.any} > ${join(lab.home, 'cut.pcap')}`]);
    const cut = await lab.run([process.execPath, MAIN, 'read', join(lab.home, 'cut.pcap'), '--json']);
    assert.equal(cut.status, 0);
    assert.match(cut.stderr, /capture\.damaged 1/);
  });
});
