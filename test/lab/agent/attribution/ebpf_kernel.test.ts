import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { EbpfAttributor } from '../../../../agent/attribution/ebpf.ts';
import type { EbpfSocketOwner } from '../../../../agent/attribution/ebpf_owners.ts';
import type { SocketOwner } from '../../../../agent/attribution/owner.ts';
import type { FlowTuple } from '../../../../agent/flow.ts';
import { cgroupPaths } from '../../../../agent/linux/cgroup.ts';
import { BpfUnavailable } from '../../../../agent/linux/ebpf_failure.ts';
import { ownCgroups } from '../../../support/agent/attribution/cgroup_lab.ts';
import { chainOf, EbpfLab, type Started } from '../../../support/agent/attribution/ebpf_lab.ts';
import { whyNoCompiler } from '../../../support/agent/attribution/ebpf_object.ts';

const SEQUENTIAL = 200;
const AT_ONCE = 100;
const PYTHON = '/usr/bin/python3';
const UNPRIVILEGED_UID = 54_321;

/** A program that connects, writes and exits: the shortest life that a caller can have. */
const ONE_SHOT_C = `
#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <unistd.h>
int main(int argc, char **argv) {
  struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(80)};
  char request[256];
  int s = socket(AF_INET, SOCK_STREAM, 0);
  inet_pton(AF_INET, "169.254.169.254", &to.sin_addr);
  if (getenv("REMOVE_MYSELF")) unlink(getenv("REMOVE_MYSELF"));
  if (connect(s, (struct sockaddr *)&to, sizeof(to))) return 1;
  snprintf(request, sizeof(request), "GET %s HTTP/1.0\\r\\n\\r\\n", argv[1]);
  return write(s, request, strlen(request)) < 0;
}`;

const PYTHON_GET = `
import socket, sys, threading
def get():
    s = socket.socket(socket.AF_INET6 if ':' in sys.argv[2] else socket.AF_INET)
    s.connect((sys.argv[2], 80))
    s.sendall(f"GET {sys.argv[1]} HTTP/1.0\\r\\n\\r\\n".encode())
    s.recv(100)
if sys.argv[3] == 'thread':
    t = threading.Thread(target=get); t.start(); t.join()
else:
    get()
`;

function has(path: string): boolean {
  return existsSync(path);
}

function compilerFor(directory: string): string | null {
  writeFileSync(join(directory, 'one_shot.c'), ONE_SHOT_C);
  try {
    execFileSync('cc', ['-static', '-O1', '-o', join(directory, 'one_shot'), join(directory, 'one_shot.c')], {
      stdio: 'ignore',
    });
    return join(directory, 'one_shot');
  } catch {
    return null;
  }
}

function whyNotHere(): string | false {
  if (process.getuid?.() !== 0) return 'needs root';
  try {
    EbpfAttributor.open().close();
  } catch (error) {
    if (error instanceof BpfUnavailable && error.kind !== 'failed') return error.message;
    throw error;
  }
  for (const tool of ['ip', 'nsenter', 'curl']) {
    try {
      execFileSync('which', [tool], { stdio: 'ignore' });
    } catch {
      return `${tool} is not installed`;
    }
  }
  return false;
}

const skip = whyNotHere();

/** A lab with one attributor, and the owner that it found for each request when the service had read it. */
class Scene {
  readonly parents = chainOf(process.pid);
  readonly directory = mkdtempSync(join(tmpdir(), 'imdswatch-ebpf-'));
  readonly lab = new EbpfLab();
  readonly attributor: EbpfAttributor;
  readonly owners = new Map<string, SocketOwner | null>();
  readonly tuples = new Map<string, FlowTuple>();
  readonly #timer: NodeJS.Timeout;

  constructor(objectPath?: string) {
    this.attributor = EbpfAttributor.open({
      netns: this.lab.netns,
      ...(objectPath === undefined ? {} : { objectPath }),
    });
    this.#timer = setInterval(() => this.attributor.poll(), 200);
  }

  async begin(): Promise<void> {
    await this.lab.serve((path, tuple) => {
      this.attributor.poll();
      // The service listens on IPv4, so it sees an IPv4-mapped caller as IPv4.
      this.tuples.set(path, tuple);
      this.owners.set(path, this.attributor.ownerOf(tuple, false));
    });
  }

  async end(): Promise<void> {
    clearInterval(this.#timer);
    this.attributor.close();
    await this.lab.remove();
    rmSync(this.directory, { recursive: true });
  }

  curl(path: string, ...more: string[]): string[] {
    return ['curl', '-s', '-o', '/dev/null', ...more, `http://169.254.169.254${path}`];
  }

  async answerFor(path: string): Promise<EbpfSocketOwner> {
    for (let i = 0; i < 100 && !this.owners.has(path); i++)
      await new Promise((resolve) => setTimeout(resolve, 20));
    assert.ok(this.owners.has(path), `the service never saw ${path}`);
    const owner = this.owners.get(path);
    assert.ok(owner, `nobody owns ${path} ${JSON.stringify(this.attributor.counters())}`);
    return owner as EbpfSocketOwner;
  }

  /** Compares the whole record of a process that this test started, up to the last parent. */
  async expectOwner(
    path: string,
    started: Started,
    executable: string,
    args: string[],
    uid = 0,
  ): Promise<void> {
    const owner = await this.answerFor(path);
    assert.deepEqual(
      {
        pid: owner.pid,
        startTicks: owner.startTicks,
        executable: owner.executable,
        args: owner.args,
        argsTruncated: owner.argsTruncated,
        argsAfterCut: owner.argsAfterCut,
        uid: owner.uid,
        netns: owner.netns,
        method: owner.method,
        confidence: owner.confidence,
        ancestors: owner.ancestors?.map((told, i) => {
          // The executable of pid 1 may be hidden even from root (Yama, a container): then any path is right.
          const hidden = this.parents[i]?.executable === null && told.executable?.startsWith('/');
          return hidden ? { ...told, executable: null } : told;
        }),
      },
      {
        pid: started.pid,
        startTicks: started.startTicks,
        executable,
        args,
        argsTruncated: false,
        argsAfterCut: null,
        uid,
        netns: this.lab.netns,
        method: 'ebpf',
        confidence: 'exact',
        ancestors: this.parents,
      },
    );
    assert.equal(owner.ancestors?.at(-1)?.pid, 1);
  }

  async sequentialCurls(count: number): Promise<void> {
    for (let i = 0; i < count; i++) {
      const path = `/sequential/${i}`;
      const started = this.lab.start(this.curl(path));
      assert.equal(await started.ended, 0);
      await this.expectOwner(path, started, CURL, this.curl(path));
    }
  }
}

const CURL = skip === false ? realpathSync(execFileSync('which', ['curl'], { encoding: 'utf8' }).trim()) : '';

describe('the kernel reports the owner', { skip }, () => {
  let scene: Scene;
  let oneShot: string | null;
  before(async () => {
    scene = new Scene();
    oneShot = compilerFor(scene.directory);
    await scene.begin();
  });
  after(() => scene.end());

  it(`of ${SEQUENTIAL} one-shot curls in sequence`, async () => {
    await scene.sequentialCurls(SEQUENTIAL);
  });

  it(`of ${AT_ONCE} one-shot curls at once`, async () => {
    const all = Array.from({ length: AT_ONCE }, (_, i) => {
      const path = `/at-once/${i}`;
      return { path, started: scene.lab.start(scene.curl(path)) };
    });
    for (const { path, started } of all) {
      assert.equal(await started.ended, 0);
      await scene.expectOwner(path, started, CURL, scene.curl(path));
    }
  });

  it('of a static program that connects, writes and exits', async (t) => {
    if (oneShot === null) return t.skip('cc cannot link a static program here');
    for (let i = 0; i < 50; i++) {
      const path = `/static/${i}`;
      const started = scene.lab.start([oneShot, path]);
      assert.equal(await started.ended, 0);
      await scene.expectOwner(path, started, oneShot, [oneShot, path]);
    }
  });

  it('of another user', async () => {
    const started = scene.lab.start([
      'setpriv',
      `--reuid=${UNPRIVILEGED_UID}`,
      '--clear-groups',
      ...scene.curl('/user'),
    ]);
    assert.equal(await started.ended, 0);
    await scene.expectOwner('/user', started, CURL, scene.curl('/user'), UNPRIVILEGED_UID);
  });

  it('of IPv6, IPv4-mapped and threaded connections', { skip: !has(PYTHON) && 'no python3' }, async () => {
    for (const [path, address, how] of [
      ['/python/ipv4', '169.254.169.254', 'main'],
      ['/python/thread', '169.254.169.254', 'thread'],
      ['/python/ipv6', 'fd00:ec2::254', 'main'],
      ['/python/mapped', '::ffff:169.254.169.254', 'main'],
    ] as const) {
      const command = [PYTHON, '-c', PYTHON_GET, path, address, how];
      const started = scene.lab.start(command);
      assert.equal(await started.ended, 0);
      await scene.expectOwner(path, started, realpathSync(PYTHON), command);
    }
    assert.equal(scene.tuples.get('/python/mapped')?.remoteAddress, '169.254.169.254');
    assert.match(scene.tuples.get('/python/ipv6')?.localAddress ?? '', /^fd00:77:/);
  });

  it('with an executable across mounts, in a chroot, removed, in memory, or deep', async (t) => {
    if (oneShot === null) return t.skip('cc cannot link a static program here');
    const root = join(scene.directory, 'root');
    mkdirSync(join(root, 'opt'), { recursive: true });
    copyFileSync(oneShot, join(root, 'opt', 'tool'));
    const chroot = scene.lab.start(['chroot', root, '/opt/tool', '/exe/chroot']);
    assert.equal(await chroot.ended, 0);
    await scene.expectOwner('/exe/chroot', chroot, '/opt/tool', ['/opt/tool', '/exe/chroot']);

    const mounted = join(scene.directory, 'mounted');
    mkdirSync(mounted);
    const inner = join(mounted, 'inner');
    const tool = join(inner, 'bin', 'tool');
    const across = scene.lab.start([
      ...['unshare', '-m', 'sh', '-ec'],
      `mount -t tmpfs one ${mounted}; mkdir ${inner}; mount -t tmpfs two ${inner}; mkdir ${inner}/bin; cp ${oneShot} ${tool}; exec ${tool} /exe/mounts`,
    ]);
    assert.equal(await across.ended, 0);
    await scene.expectOwner('/exe/mounts', across, tool, [tool, '/exe/mounts']);

    const removed = join(scene.directory, 'removed');
    copyFileSync(oneShot, removed);
    const deleted = scene.lab.start(['env', `REMOVE_MYSELF=${removed}`, removed, '/exe/removed']);
    assert.equal(await deleted.ended, 0);
    assert.equal(has(removed), false);
    await scene.expectOwner('/exe/removed', deleted, removed, [removed, '/exe/removed']);

    const deepDirectory = join(scene.directory, ...Array.from({ length: 30 }, (_, i) => `level-${i}`));
    mkdirSync(deepDirectory, { recursive: true });
    const deep = join(deepDirectory, 'tool');
    copyFileSync(oneShot, deep);
    const deepCall = scene.lab.start([deep, '/exe/deep']);
    assert.equal(await deepCall.ended, 0);
    await scene.expectOwner('/exe/deep', deepCall, deep, [deep, '/exe/deep']);

    if (!has(PYTHON)) return t.diagnostic('no python3: an executable in memory was not tried');
    const loader = `import os,sys
fd = os.memfd_create('hidden', 0)
os.write(fd, open(sys.argv[1], 'rb').read())
os.execve(fd, ['hidden', '/exe/memory'], {})`;
    const memory = scene.lab.start([PYTHON, '-c', loader, oneShot]);
    assert.equal(await memory.ended, 0);
    await scene.expectOwner('/exe/memory', memory, '/memfd:hidden', ['hidden', '/exe/memory']);
  });

  it('with a path that did not fit the record, if /proc was read while the caller lived', async (t) => {
    if (!has(PYTHON)) return t.skip('no python3');
    // The path has 64 components, more than the program walks. The caller waits, so /proc can be read.
    const directory = join(scene.directory, ...Array.from({ length: 64 }, (_, i) => `d${i}`));
    mkdirSync(directory, { recursive: true });
    const python = join(directory, 'python');
    copyFileSync(realpathSync(PYTHON), python);
    const script = `${PYTHON_GET}\nimport time; time.sleep(0.5)`;
    const command = [python, '-c', script, '/exe/endless', '169.254.169.254', 'main'];
    const started = scene.lab.start(['env', 'PYTHONHOME=/usr', ...command]);
    const owner = await scene.answerFor('/exe/endless');
    assert.equal(owner.executable, python);
    assert.equal(scene.attributor.counters()['executables_from_proc'], 1);
    assert.equal(await started.ended, 0);
    // The caller has ended now. Its path was read while it lived.
    scene.attributor.poll();
    assert.equal(scene.attributor.ownerOf(scene.tuples.get('/exe/endless')!, false)?.executable, python);
  });

  it('with long arguments cut at 4096 bytes, and marked as cut', async () => {
    const command = [...scene.curl('/long'), '-H', `X-Long: ${'x'.repeat(9000)}`];
    const started = scene.lab.start(command);
    assert.equal(await started.ended, 0);
    const owner = await scene.answerFor('/long');
    assert.equal(owner.argsTruncated, true);
    assert.equal(Buffer.byteLength(owner.args!.join('\0')), 4096);
    assert.deepEqual(owner.args?.slice(0, -1), command.slice(0, -1));
    assert.equal(owner.pid, started.pid);
  });

  it('with the arguments that follow a long one, such as the main class behind a class path', async () => {
    const recorded = 4096 - Buffer.byteLength([...scene.curl('/long-0'), '-H', ''].join('\0'));
    // The recorded part ends with its last character, its NUL, or before it; then come one and many pieces, and almost
    // the longest argument that the kernel takes.
    const lengths = [recorded, recorded - 1, recorded + 1, recorded + 4_094, recorded + 4_095, 131_000];
    for (const [at, length] of lengths.entries()) {
      const command = [...scene.curl(`/long-${at}`), '-H', 'x'.repeat(length), '-H', 'X-After: cut', '-s'];
      const started = scene.lab.start(command);
      assert.equal(await started.ended, 0);
      const owner = await scene.answerFor(`/long-${at}`);
      assert.deepEqual(owner.args?.slice(0, -1), command.slice(0, -4), `${length}`);
      assert.deepEqual(owner.argsAfterCut, ['-H', 'X-After: cut', '-s'], `${length}`);
    }
  });

  it('with its cgroups in every kind of hierarchy, even after it has ended', async (t) => {
    if (oneShot === null) return t.skip('cc cannot link a static program here');
    const cgroups = ownCgroups(`imdswatch-${process.pid}`, ['inner-1.scope']);
    if (cgroups === null) return t.skip('no cgroup can be made here');
    t.diagnostic(cgroups.directories.join(' '));
    try {
      const enter = cgroups.directories.map((directory) => `echo $$ > ${directory}/cgroup.procs`).join('; ');
      const started = scene.lab.start(['sh', '-ec', `${enter}; exec ${oneShot} /cgroups`]);
      assert.equal(await started.ended, 0);
      const owner = await scene.answerFor('/cgroups');
      assert.equal(owner.pid, started.pid);
      const own = cgroupPaths(readFileSync('/proc/self/cgroup', 'utf8'));
      // If this machine uses a controller otherwise, the process stays in the cgroup of the test.
      assert.deepEqual(
        owner.cgroupPaths?.filter((path) => !own.includes(path)),
        cgroups.paths,
      );
      // In the other hierarchies curl started in the cgroups of this process, which /proc shows.
      const outside = scene.lab.start(scene.curl('/cgroups/outside'));
      assert.equal(await outside.ended, 0);
      for (const path of (await scene.answerFor('/cgroups/outside')).cgroupPaths ?? []) {
        assert.ok(own.includes(path), `${path} is none of ${own}`);
      }
    } finally {
      cgroups.remove();
    }
  });

  it('without a cgroup if the path is too deep, rather than with a wrong one', async (t) => {
    const cgroups = ownCgroups(
      `imdswatch-deep-${process.pid}`,
      Array.from({ length: 17 }, (_, i) => `level-${i}`),
    );
    if (cgroups === null) return t.skip('no cgroup can be made here');
    const counted = () => scene.attributor.counters()['cgroup_paths_cut']!;
    const before = counted();
    try {
      const enter = `echo $$ > ${cgroups.directories.at(-1)}/cgroup.procs`;
      const curl = scene.curl('/cgroups/deep').join(' ');
      const started = scene.lab.start(['sh', '-ec', `${enter}; exec ${curl}`]);
      assert.equal(await started.ended, 0);
      const owner = await scene.answerFor('/cgroups/deep');
      assert.equal(owner.cgroupPaths, null);
      assert.equal(counted(), before + 1);
      assert.equal(owner.executable, CURL);
      assert.deepEqual(owner.ancestors?.at(-1)?.pid, 1);
    } finally {
      cgroups.remove();
    }
  });

  it('not at the SYN, even if an older connection on the same port is known', () => {
    const tuple = scene.tuples.get('/long')!;
    assert.equal(scene.attributor.ownerOf(tuple, true), null);
    assert.notEqual(scene.attributor.ownerOf(tuple, false), null);
  });

  it('and counts failed attempts, refused or blocked, apart from connections', async () => {
    await scene.lab.stopServing();
    scene.attributor.poll();
    const counted = () => {
      scene.attributor.poll();
      const counters = scene.attributor.counters();
      return [counters['failed_attempts_own_namespace'], counters['connections_own_namespace']];
    };
    const [failed, connected] = counted() as [number, number];
    const refused = scene.lab.start(scene.curl('/refused'));
    assert.equal(await refused.ended, 7);
    assert.deepEqual(counted(), [failed + 1, connected]);
    scene.lab.block();
    const blocked = scene.lab.start(scene.curl('/blocked', '--max-time', '0.5'));
    assert.notEqual(await blocked.ended, 0);
    assert.deepEqual(counted(), [failed + 2, connected]);
  });

  it('of connections to other endpoints only if they are watched', async () => {
    const asked = EbpfAttributor.open({ netns: scene.lab.netns, endpoints: ['ecs'] });
    try {
      const counted = (attributor: EbpfAttributor) => {
        attributor.poll();
        return attributor.counters()['failed_attempts_own_namespace']!;
      };
      const reported: [string, string | undefined][] = [];
      asked.onConnection = ({ tuple, owner }) => reported.push([tuple.remoteAddress, owner()?.name]);
      const before = counted(scene.attributor);
      for (const address of ['169.254.170.2', '169.254.170.23']) {
        scene.lab.addAddress(address);
        const refused = scene.lab.start(['curl', '-s', `http://${address}/`]);
        assert.equal(await refused.ended, 7, 'nobody listens there');
      }
      assert.equal(counted(scene.attributor), before);
      assert.equal(counted(asked), 1);
      assert.deepEqual(reported, [['169.254.170.2', 'curl']]);
    } finally {
      asked.close();
    }
  });

  it('without a lost record, and counts how often the kernel skipped a program', () => {
    const counters = scene.attributor.counters();
    for (const name of ['ring_lost', 'malformed_records', 'evicted']) {
      assert.equal(counters[name], 0, name);
    }
    // The count need not be 0: any connection of this machine may have interrupted another one.
    for (const name of ['recursion_misses_imds_connect_begun', 'recursion_misses_imds_connect_state']) {
      assert.equal(typeof counters[name], 'number', name);
    }
  });
});

describe('the object built from the source here', { skip: skip || whyNoCompiler() }, () => {
  let scene: Scene;
  before(async () => {
    const directory = mkdtempSync(join(tmpdir(), 'imdswatch-rebuilt-'));
    const output = join(directory, 'rebuilt.bpf.o');
    try {
      execFileSync(join(import.meta.dirname, '../../../../agent/attribution/bpf/build'), [output]);
      scene = new Scene(output);
    } finally {
      rmSync(directory, { recursive: true });
    }
    await scene.begin();
  });
  after(() => scene?.end());

  it('reports the same owners as the committed one', async () => {
    await scene.sequentialCurls(20);
    assert.equal(scene.attributor.counters()['ring_lost'], 0);
  });
});
