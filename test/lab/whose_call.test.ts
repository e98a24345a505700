/**
 * The workload behind real processes, from real packets: scripts that run curl and end at once, interpreters, a
 * JVM with a class path beyond the kernel's record, a daemon that rewrites its title, and pretenders.
 */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { setTimeout as sleep } from 'node:timers/promises';
import { workloadIdentity } from '../../collector/store/workload_identity.ts';
import { Lab } from '../../lab/lab.ts';
import { findPrograms, type Programs } from '../../lab/programs.ts';
import type { Call } from '../../protocol/call.ts';
import { Watcher } from '../support/lab/watcher.ts';

const skip = process.getuid?.() === 0 ? false : 'needs root: builds network namespaces and captures packets';
const MAIN = join(import.meta.dirname, '../../cli/main.ts');
const WATCH = [process.execPath, MAIN, 'watch', '--json', '--attribution', 'ebpf'];
const ROOT = 'http://169.254.169.254/latest/meta-data';
/** Scripts that end as soon as their only curl has ended. */
const ONE_SHOTS = 20;

/** Reads a path twice, and writes a title over its arguments in between. */
const TITLED = `use IO::Socket::INET;
sub get { my $s = IO::Socket::INET->new(PeerAddr => '169.254.169.254:80') or die; print $s "GET $_[0] HTTP/1.0\\r\\n\\r\\n"; my @a = <$s>; }
get('/latest/meta-data/titled-before'); $0 = 'worker: 3 of 10 busy'; get('/latest/meta-data/titled-after'); sleep 1;`;

const FETCH = `package com.example.connect;
public class Fetch { public static void main(String[] a) throws Exception {
  new java.net.URL(a[0]).openStream().readAllBytes(); Thread.sleep(1000); } }`;
const OTHER = `package com.example.spark;
public class Other { public static void main(String[] a) throws Exception { com.example.connect.Fetch.main(a); } }`;

function has(program: string): boolean {
  try {
    execFileSync('sh', ['-c', `command -v ${program}`], { stdio: 'ignore' });
    return true;
  } catch {
    return false;
  }
}

describe('whose call it is', { skip }, () => {
  let lab: Lab;
  let programs: Programs;
  let watcher: Watcher;
  before(async () => {
    programs = await findPrograms();
    lab = await Lab.create({ name: 'whose', ipv6: false });
    watcher = await Watcher.start(lab, WATCH);
  });
  after(async () => {
    await watcher.stop();
    await lab.close();
  });

  function script(name: string, text: string): string {
    const path = join(lab.home, 'whose', name);
    mkdirSync(join(path, '..'), { recursive: true });
    writeFileSync(path, text);
    chmodSync(path, 0o755);
    return path;
  }

  async function callOf(target: string): Promise<Call> {
    const find = () => watcher.calls.find((call) => call['url.path'] === `/latest/meta-data/${target}`);
    for (let tries = 0; tries < 1_500 && find() === undefined; tries++) await sleep(20);
    const call = find();
    assert.ok(call, `${target} was seen`);
    return call;
  }
  const identityOf = (call: Call) => workloadIdentity(call, call.host.id, call['source.address']);

  /** Runs a command that requests `target`, and expects its workload's script. */
  async function expectScript(target: string, argv: string[], expected: string | null, helper?: string) {
    await lab.run(argv);
    const identity = identityOf(await callOf(target));
    assert.equal(identity.script, expected, target);
    if (helper !== undefined) assert.equal(identity.helper, helper, target);
  }

  it('two scripts, and a third, whatever shell and helper they use', async () => {
    const { curl, wget, bash } = programs;
    const backup = script('opt/backup/nightly.sh', `#!${bash}\nID=$(curl -s ${ROOT}/backup)\n`);
    await expectScript('backup', [backup], backup, curl);
    const dns = script('opt/dns/register.sh', `IP=$(curl -s ${ROOT}/dns | head -c 9)\necho $IP\n`);
    await expectScript('dns', [bash, dns], dns, curl);
    const tags = script('opt/tags.sh', `#!/bin/sh\ntimeout 9 env X=1 wget -qO- ${ROOT}/tags >/dev/null\n`);
    await expectScript('tags', [tags], tags, wget);
    const nested = script('opt/nested.sh', `sh -c 'echo; curl -s ${ROOT}/nested; echo'\necho\n`);
    await expectScript('nested', [bash, nested], nested, curl);
    const left = script(
      'opt/left.sh',
      `( sleep 0.2; curl -s ${ROOT}/left; sleep 1 ) >/dev/null 2>&1 </dev/null &\n`,
    );
    await expectScript('left', [bash, left], left, curl);
    const python = script(
      'opt/run.py',
      `import subprocess\nsubprocess.run(['curl', '-s', '${ROOT}/python'])\n`,
    );
    await expectScript('python', [programs.python3, python], python, curl);
    const code = script(
      'opt/code.sh',
      `${programs.python3} -c 'import urllib.request as u; u.urlopen("${ROOT}/code")'\ntrue\n`,
    );
    await expectScript('code', [bash, code], code, programs.python3);
    if (has('busybox')) {
      const box = script('opt/box.sh', `busybox wget -qO- ${ROOT}/box\ntrue\n`);
      await expectScript('box', ['busybox', 'sh', box], box);
    }
  });

  it('scripts that end at once: every one is named', async () => {
    const scripts = Array.from({ length: ONE_SHOTS }, (_, n) =>
      script(`opt/one-${n}.sh`, `#!${programs.bash}\ncurl -s -o /dev/null ${ROOT}/one-${n}\n`),
    );
    for (const path of scripts) await lab.run([path]);
    const found = await Promise.all(scripts.map(async (_, n) => identityOf(await callOf(`one-${n}`)).script));
    assert.deepEqual(found, scripts);
  });

  it('a JVM by its main class, however long the class path is', async (t) => {
    if (!has('javac')) return t.skip('needs javac');
    const directory = join(lab.home, 'whose/classes');
    const sources = [script('src/Fetch.java', FETCH), script('src/Other.java', OTHER)];
    execFileSync('javac', ['-d', directory, ...sources]);
    const libraries = Array.from({ length: 400 }, (_, n) => `/opt/kafka/libs/some-library-${n}-2.13.0.jar`);
    const classPath = [directory, ...libraries].join(':');
    assert.ok(classPath.length > 15_000);
    const java = (main: string, target: string) => ['java', '-cp', classPath, main, `${ROOT}/${target}`];
    await expectScript(
      'placement/region',
      java('com.example.connect.Fetch', 'placement/region'),
      'com.example.connect.Fetch',
    );
    await expectScript(
      'local-ipv4',
      java('com.example.spark.Other', 'local-ipv4'),
      'com.example.spark.Other',
    );
  });

  it('a daemon that rewrites its title stays one workload, and the title is shown', async (t) => {
    if (!has('perl')) return t.skip('needs perl');
    const daemon = script('opt/daemon.pl', TITLED);
    await lab.run(['perl', daemon]);
    const [before, after] = [await callOf('titled-before'), await callOf('titled-after')];
    assert.equal(identityOf(before).script, daemon);
    assert.equal(identityOf(after).script, daemon);
    assert.equal(after.process?.title, 'worker: 3 of 10 busy');
  });

  it('nobody disappears in another workload by its name or arguments', async () => {
    const benign = script('opt/benign.sh', '#!/bin/sh\n');
    await lab.run([programs.bash, '-c', `exec -a ${benign} ${programs.curl} -s ${ROOT}/named`]);
    assert.notEqual(identityOf(await callOf('named')).script, benign);
    const copy = join(lab.home, 'whose/curl');
    copyFileSync(programs.curl, copy);
    chmodSync(copy, 0o755);
    const runner = script('opt/runner.sh', `${copy} -s ${ROOT}/copy\ntrue\n`);
    await lab.run([programs.bash, runner]);
    const identity = identityOf(await callOf('copy'));
    assert.deepEqual([identity.executable, identity.script, identity.helper], [copy, null, null]);
  });
});
