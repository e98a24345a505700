/** Tests the decoder of the eBPF program's records. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { AddressTexts } from '../../../../agent/attribution/ebpf_address.ts';
import {
  ANCESTOR_HEAD_BYTES,
  ANCESTOR_LAYOUT,
  isUrgent,
  OWNER_HEAD_BYTES,
  OWNER_LAYOUT,
  ownerRecord,
  RECORD_KINDS,
  recordHead,
  STATE_BYTES,
  STATE_LAYOUT,
  stateRecord,
} from '../../../../agent/attribution/ebpf_records.ts';

interface Parent {
  pid: number;
  startNs: bigint;
  name: string;
  components: string[];
  cut?: boolean;
  /** Arguments with which it began. */
  args?: string[];
  argsCut?: boolean;
}

/** Builds an owner record by hand in the layout of the C program. */
function ownerBytes(
  options: {
    args?: Buffer;
    /** Arguments behind the one in which `args` ends. */
    rest?: Buffer;
    components?: string[];
    cgroups?: string[][];
    directory?: string[];
    flags?: number;
    parents?: Parent[];
    startNs?: bigint;
  } = {},
): Buffer {
  const rest = options.rest ?? Buffer.alloc(0);
  const args = Buffer.concat([options.args ?? Buffer.from('curl\0-s\0http://169.254.169.254/\0'), rest]);
  const executable = Buffer.from(
    (options.components ?? ['curl', 'bin', 'usr']).map((c) => `${c}\0`).join(''),
  );
  const cgroups = Buffer.from(
    (options.cgroups ?? []).map((names) => `${names.map((name) => `${name}\0`).join('')}\0`).join(''),
  );
  const directory = Buffer.from((options.directory ?? []).map((name) => `${name}\0`).join(''));
  let data = Buffer.concat([args, executable, cgroups, directory]);
  for (const parent of options.parents ?? []) {
    const path = Buffer.from(parent.components.map((c) => `${c}\0`).join(''));
    const head = Buffer.alloc(ANCESTOR_HEAD_BYTES);
    const begun = Buffer.from((parent.args ?? []).map((arg) => `${arg}\0`).join(''));
    head.writeBigUInt64LE(parent.startNs, ANCESTOR_LAYOUT.start_boottime_ns);
    head.writeUInt32LE(parent.pid, ANCESTOR_LAYOUT.tgid);
    head.writeUInt16LE((parent.cut ? 4 : 0) | (parent.argsCut ? 1 : 0), ANCESTOR_LAYOUT.flags);
    head.writeUInt16LE(path.length, ANCESTOR_LAYOUT.executable_bytes);
    head.writeUInt16LE(begun.length, ANCESTOR_LAYOUT.args_bytes);
    head.write(parent.name, ANCESTOR_LAYOUT.comm, 'utf8');
    data = Buffer.concat([data, Buffer.alloc((8 - (data.length % 8)) % 8), head, path, begun]);
  }
  const head = Buffer.alloc(OWNER_HEAD_BYTES);
  head.writeUInt16LE(RECORD_KINDS.owner, OWNER_LAYOUT.kind);
  head.writeUInt32LE(4026531840, OWNER_LAYOUT.net_ns);
  head.writeBigUInt64LE(0xffff888104725400n, OWNER_LAYOUT.socket);
  head.writeBigUInt64LE(options.startNs ?? 123_456_789_012_345n, OWNER_LAYOUT.start_boottime_ns);
  head.writeBigUInt64LE(4242n, OWNER_LAYOUT.cgroup_id);
  head.writeUInt32LE(71, OWNER_LAYOUT.tgid);
  head.writeUInt32LE(72, OWNER_LAYOUT.tid);
  head.writeUInt32LE(7, OWNER_LAYOUT.inner_pid);
  head.writeUInt32LE(1000, OWNER_LAYOUT.euid);
  head.writeUInt16LE(options.flags ?? 0, OWNER_LAYOUT.flags);
  head.writeUInt16LE(options.parents?.length ?? 0, OWNER_LAYOUT.ancestors);
  head.writeUInt16LE(args.length, OWNER_LAYOUT.args_bytes);
  head.writeUInt16LE(rest.length, OWNER_LAYOUT.args_rest_bytes);
  head.writeUInt16LE(executable.length, OWNER_LAYOUT.executable_bytes);
  head.writeUInt16LE(cgroups.length, OWNER_LAYOUT.cgroups_bytes);
  head.writeUInt16LE(directory.length, OWNER_LAYOUT.working_directory_bytes);
  head.writeUInt16LE(data.length, OWNER_LAYOUT.data_bytes);
  head.write('curl', OWNER_LAYOUT.comm, 'latin1');
  return Buffer.concat([head, data]);
}

describe('an owner record', () => {
  it('has the arguments with which parents began, unless they were cut', () => {
    const shell = { name: 'bash', components: ['bash', 'bin'], pid: 50, startNs: 1_000n };
    const args = ['bash', '/opt/a.sh'];
    const argsOf = (...parents: Parent[]) =>
      ownerRecord(ownerBytes({ parents }))!.ancestors.map((parent) => parent.args);
    assert.deepEqual(argsOf({ ...shell, args }, shell), [args, null]);
    assert.deepEqual(argsOf({ ...shell, args, argsCut: true }, { ...shell, args }), [null, args]);
  });

  it('is read whole', () => {
    const owner = ownerRecord(
      ownerBytes({
        cgroups: [['c-1.scope', 'machine.slice'], ['c-1'], ['c-1']],
        directory: ['jobs', 'opt'],
        parents: [
          { pid: 50, startNs: 99_999_999n, name: 'bash', components: ['bash', 'bin', 'usr'] },
          { pid: 1, startNs: 10_000_000n, name: 'systemd', components: ['systemd', 'systemd', 'lib', 'usr'] },
        ],
      }),
    );
    assert.deepEqual(owner, {
      pid: 71,
      tid: 72,
      startTicks: 12_345_678,
      name: 'curl',
      executable: '/usr/bin/curl',
      executableCut: false,
      uid: 1000,
      netns: 4026531840,
      mountNamespace: 0,
      pidNamespace: 0,
      innerPid: 7,
      cgroupId: 4242n,
      cgroupPaths: ['/machine.slice/c-1.scope', '/c-1'],
      cgroupsCut: false,
      workingDirectory: '/opt/jobs',
      args: ['curl', '-s', 'http://169.254.169.254/'],
      argsTruncated: false,
      argsAfterCut: null,
      ancestors: [
        {
          pid: 50,
          startTicks: 9,
          name: 'bash',
          executable: '/usr/bin/bash',
          executableCut: false,
          args: null,
        },
        {
          pid: 1,
          startTicks: 1,
          name: 'systemd',
          executable: '/usr/lib/systemd/systemd',
          executableCut: false,
          args: null,
        },
      ],
      ancestorsCut: false,
    });
  });

  it('keeps start times of years exact', () => {
    assert.equal(ownerRecord(ownerBytes({ startNs: 99_999_999_999_999_999n }))?.startTicks, 9_999_999_999);
  });

  it('distinguishes empty, unreadable and cut arguments', () => {
    assert.deepEqual(ownerRecord(ownerBytes({ args: Buffer.from('a\0\0b\0') }))?.args, ['a', '', 'b']);
    assert.deepEqual(ownerRecord(ownerBytes({ args: Buffer.alloc(0) }))?.args, []);
    assert.equal(ownerRecord(ownerBytes({ args: Buffer.alloc(0), flags: 2 }))?.args, null);
    const cut = ownerRecord(ownerBytes({ args: Buffer.from('a\0bc'), flags: 1 }));
    assert.deepEqual([cut?.args, cut?.argsTruncated], [['a', 'bc'], true]);
    const long = `java\0-cp\0${'x'.repeat(80)}`;
    const after = (args: string, rest: string) => {
      const owner = ownerRecord(ownerBytes({ args: Buffer.from(args), rest: Buffer.from(rest), flags: 1 }))!;
      return [owner.args?.length, owner.argsTruncated, owner.argsAfterCut];
    };
    assert.deepEqual(after(long, 'Main\0a\0'), [3, true, ['Main', 'a']]);
    assert.deepEqual(after(long, 'Main\0a'), [3, true, ['Main']], 'the last one is cut as well');
    assert.deepEqual(after(long, 'Ma'), [3, true, null]);
    assert.deepEqual(after(long, ''), [3, true, null]);
    assert.deepEqual(after('java\0-c', 'x.jar\0Main\0'), [2, true, null], 'the name of an option may be cut');
    const title = ownerRecord(ownerBytes({ args: Buffer.from('nginx: worker') }));
    assert.deepEqual([title?.args, title?.argsTruncated], [['nginx: worker'], true]);
    assert.deepEqual(ownerRecord(ownerBytes({ args: Buffer.from([0x61, 0xff, 0]) }))?.args, ['a\ufffd']);
  });

  it('does not know a working directory that was too long, and says when /proc is to be read at once', () => {
    assert.equal(ownerRecord(ownerBytes({ flags: 32 }))!.workingDirectory, undefined);
    assert.equal(ownerRecord(ownerBytes())!.workingDirectory, '/');
    assert.deepEqual(
      [64, 64 | 4, 4, 0].map((flags) => isUrgent(ownerBytes({ flags }))),
      [true, true, false, false],
    );
  });

  it('never gives a cut path as a whole one', () => {
    const owner = ownerRecord(
      ownerBytes({ flags: 4, parents: [{ pid: 1, startNs: 0n, name: 'i', components: ['i'], cut: true }] }),
    );
    assert.deepEqual([owner?.executable, owner?.executableCut], [null, true]);
    assert.deepEqual([owner?.ancestors[0]?.executable, owner?.ancestors[0]?.executableCut], [null, true]);
    assert.equal(ownerRecord(ownerBytes({ components: [] }))?.executable, null);
    const moved = ownerRecord(ownerBytes({ flags: 16 }));
    assert.deepEqual([moved?.cgroupPaths, moved?.cgroupsCut], [null, true]);
    const rootOnly = ownerRecord(ownerBytes({ cgroups: [] }));
    assert.deepEqual([rootOnly?.cgroupPaths, rootOnly?.cgroupsCut], [null, false]);
  });

  it('is rejected if it is cut anywhere', () => {
    const whole = ownerBytes({
      cgroups: [['a'], ['b', 'c']],
      parents: [{ pid: 9, startNs: 1n, name: 'x', components: ['x', 'bin'] }],
    });
    for (let length = 0; length < whole.length; length++) {
      assert.equal(recordHead(whole.subarray(0, length)), null, `head of ${length} bytes`);
      assert.equal(ownerRecord(whole.subarray(0, length)), null, `record of ${length} bytes`);
    }
    assert.notEqual(ownerRecord(whole), null);
  });

  it('is read back with any content', () => {
    const word = fc.string({ unit: 'grapheme', minLength: 1, maxLength: 40 }).filter((s) => !/[\0/]/.test(s));
    fc.assert(
      fc.property(
        fc.array(word, { maxLength: 20 }),
        fc.array(word, { minLength: 1, maxLength: 12 }),
        fc.uniqueArray(fc.array(word, { minLength: 1, maxLength: 6 }), {
          maxLength: 3,
          selector: (names) => Buffer.from(names.join('/')).toString('utf8'),
        }),
        fc.array(word, { maxLength: 6 }),
        fc.array(
          fc.record({
            pid: fc.integer({ min: 1, max: 4_194_304 }),
            startNs: fc.bigInt({ min: 0n, max: 2n ** 63n }),
            components: fc.array(word, { minLength: 1, maxLength: 8 }),
          }),
          { maxLength: 24 },
        ),
        (args, components, cgroups, directory, parents) => {
          const owner = ownerRecord(
            ownerBytes({
              args: Buffer.from(args.map((arg) => `${arg}\0`).join('')),
              components,
              cgroups,
              directory,
              parents: parents.map((parent) => ({ ...parent, name: 'sh' })),
            }),
          );
          assert.ok(owner);
          const round = (text: string) => Buffer.from(text).toString('utf8');
          assert.deepEqual(owner.args, args.map(round));
          assert.equal(owner.executable, `/${components.map(round).reverse().join('/')}`);
          assert.equal(owner.workingDirectory, `/${directory.map(round).reverse().join('/')}`);
          const paths = cgroups.map((names) => `/${names.map(round).reverse().join('/')}`);
          assert.deepEqual(owner.cgroupPaths, paths.length > 0 ? paths : null);
          assert.deepEqual(
            owner.ancestors.map(({ pid, startTicks, executable }) => ({ pid, startTicks, executable })),
            parents.map(({ pid, startNs, components }) => ({
              pid,
              startTicks: Number(startNs / 10_000_000n),
              executable: `/${components.map(round).reverse().join('/')}`,
            })),
          );
        },
      ),
    );
  });

  it('never throws on garbage or on a record with changed bytes', () => {
    const whole = ownerBytes({
      cgroups: [['a'], ['b', 'c']],
      parents: [{ pid: 9, startNs: 1n, name: 'x', components: ['x', 'bin'] }],
    });
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => {
        ownerRecord(Buffer.from(bytes));
        recordHead(Buffer.from(bytes));
      }),
    );
    fc.assert(
      fc.property(
        fc.array(fc.tuple(fc.nat(whole.length - 1), fc.nat(255)), { minLength: 1, maxLength: 12 }),
        fc.nat(whole.length),
        (changes, length) => {
          const bytes = Buffer.from(whole);
          for (const [at, value] of changes) bytes[at] = value;
          ownerRecord(bytes.subarray(0, length));
          const head = recordHead(bytes);
          if (head !== null && head.kind !== 'owner') stateRecord(head, bytes, new AddressTexts());
        },
      ),
      { numRuns: 1000 },
    );
  });
});

describe('a state record', () => {
  const bytes = Buffer.alloc(STATE_BYTES);
  bytes.writeUInt16LE(RECORD_KINDS.established, STATE_LAYOUT.kind);
  bytes.writeUInt32LE(77, STATE_LAYOUT.net_ns);
  bytes.writeBigUInt64LE(0xffff888104725400n, STATE_LAYOUT.socket);
  bytes.writeUInt16LE(43210, STATE_LAYOUT.local_port);
  bytes.writeUInt16LE(80, STATE_LAYOUT.remote_port);
  bytes.writeUInt32LE(0xfedcba98, STATE_LAYOUT.initial_sequence);
  Buffer.from('00000000000000000000ffff0a010203', 'hex').copy(bytes, STATE_LAYOUT.local_address);
  Buffer.from('00000000000000000000ffffa9fea9fe', 'hex').copy(bytes, STATE_LAYOUT.remote_address);
  bytes.writeBigUInt64LE(987_654_321_500n, STATE_LAYOUT.time_ns);

  it('gives IPv4-mapped addresses as IPv4', () => {
    const head = recordHead(bytes);
    assert.ok(head);
    assert.deepEqual(stateRecord(head, bytes, new AddressTexts()), {
      kind: 'established',
      netns: 77,
      socket: Number(0xffff888104725400n & 0x1fffffffffffffn),
      localAddress: '10.1.2.3',
      localPort: 43210,
      remoteAddress: '169.254.169.254',
      remotePort: 80,
      initialSequence: 0xfedcba98,
      monotonicUs: 987_654_321.5,
    });
  });

  it('names the same socket as the owner record', () => {
    const owner = ownerBytes();
    assert.equal(recordHead(owner)?.socket, recordHead(bytes)?.socket);
  });

  it('is rejected if it is short or of an unknown kind', () => {
    assert.equal(recordHead(bytes.subarray(0, STATE_BYTES - 1)), null);
    const unknown = Buffer.from(bytes);
    unknown.writeUInt16LE(9, STATE_LAYOUT.kind);
    assert.equal(recordHead(unknown), null);
  });
});
