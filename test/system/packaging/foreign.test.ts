/**
 * Packages for the other architecture, made by a cross compiler and run under QEMU's emulation of its instructions: the
 * program as a package has it, and unit tests on the Node in it. What talks to the kernel is not tried so.
 */
import assert from 'node:assert/strict';
import { existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { CODE_DIRECTORY } from '../../../packaging/target.ts';
import {
  cannotPackage,
  FOREIGN,
  type Kept,
  keptPackages,
  NATIVE,
  ROOT,
} from '../../support/packaging/kept.ts';
import { captureOfOneRead, run } from '../../support/packaging/run.ts';

const EMULATOR = `/usr/bin/qemu-${FOREIGN.rpm}-static`;
/** Pure: bytes in, values out. */
const UNIT_TESTS = ['decode/decode.test.ts', 'conversation/classify.test.ts'].map((path) =>
  join(ROOT, 'test/unit/agent', path),
);

const skip =
  cannotPackage(FOREIGN) ?? (existsSync(EMULATOR) ? false : `${EMULATOR} is not here (qemu-user-static)`);

describe(`packages for ${FOREIGN.arch}`, { skip }, () => {
  let kept: Kept;
  let directory: string;
  const at = (path: string) => join(directory, 'tree', path);
  // Not as a part of this test run, to which node:test would report in a form of its own.
  const { NODE_TEST_CONTEXT: _, ...env } = process.env;
  const node = (...args: string[]) => {
    const program = [at(`${CODE_DIRECTORY}/bin/node`), '--disable-warning=ExperimentalWarning'];
    return run(EMULATOR, [...program, ...args], env);
  };

  before(async () => {
    kept = await keptPackages(FOREIGN);
    directory = mkdtempSync(join(tmpdir(), 'imdswatch-foreign-'));
    await run('dpkg-deb', ['--extract', kept.deb, at('')]);
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  it('say which architecture they are for, and have no other machine code in them', async () => {
    assert.equal((await run('dpkg-deb', ['--field', kept.deb, 'Architecture'])).trim(), FOREIGN.deb);
    assert.equal(await run('rpm', ['-qp', '--qf', '%{ARCH}', kept.rpm]), FOREIGN.rpm);
    const modules = `${CODE_DIRECTORY}/node_modules`;
    const addOns = [
      `${modules}/cap/build/Release/cap.node`,
      `${modules}/@koromix/koffi-linux-${FOREIGN.arch}/linux_${FOREIGN.arch}/koffi.node`,
    ];
    assert.ok(!existsSync(at(`${modules}/@koromix/koffi-linux-${NATIVE.arch}`)));
    for (const path of [...addOns, `${CODE_DIRECTORY}/bin/node`]) {
      const header = await run(`${FOREIGN.gnu}-objdump`, ['-f', at(path)]);
      assert.match(header, new RegExp(`architecture: ${FOREIGN.rpm.replace('_', '.')}`), path);
    }
  });

  it('run there: the version, a capture read', async () => {
    assert.match(await node(at(`${CODE_DIRECTORY}/cli/main.js`), '--version'), /^imdswatch \d/);
    const capture = join(directory, 'one.pcap');
    writeFileSync(capture, captureOfOneRead());
    const call = await node(at(`${CODE_DIRECTORY}/cli/main.js`), 'read', capture, '--json');
    assert.match(call, /meta-data\/instance-id/);
  });

  it('pass unit tests there, and load cap, koffi and libbpf', async () => {
    for (const path of UNIT_TESTS) assert.ok(existsSync(path), path);
    const report = await node('--test', '--test-isolation=none', '--test-reporter=tap', ...UNIT_TESTS);
    assert.match(report, /^# fail 0$/m);
    assert.ok(Number(/^# pass (\d+)$/m.exec(report)?.[1]) > 20, report.slice(-500));
    const script = `const r = require('node:module').createRequire('${at(CODE_DIRECTORY)}/package.json');
      const { load } = r('koffi');
      console.log(load('libc.so.6').func('int abs(int)')(-7), typeof r('cap').Cap, process.arch);
      console.log(load('libbpf.so.1').func('int libbpf_major_version()')());`;
    assert.equal(await node('--eval', script), `7 function ${FOREIGN.arch}\n1\n`);
  });
});
