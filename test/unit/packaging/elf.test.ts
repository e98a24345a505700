/** Tests the edits of programs in the format ELF on small programs made here. What they do is tested on the packages. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { linkedLibraries, replaceText, startByOwnLoader } from '../../../packaging/elf.ts';

const PAGE = 0x1_0000;
const BASE = 0x40_0000;
const HEADERS = 64;
const HEADER = 56;
const DYNAMIC = 0x300;
const STRINGS = 0x500;
const ENTRY = BASE + 0x123;
const PT = { load: 1, dynamic: 2, interpreter: 3, note: 4, headers: 6 };

interface Made {
  /** Entries of the dynamic section: tag and value. */
  dynamic?: readonly (readonly [number, number])[];
  /** Empty entries at the end of the dynamic section. */
  spare?: number;
  segments?: readonly number[];
}

/** A program with one loaded segment of 0x1234 bytes, at whose beginning its headers are. */
function program({ dynamic = [], spare = 5, segments }: Made = {}): Buffer {
  const bytes = Buffer.alloc(0x1234);
  Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1]).copy(bytes);
  bytes.writeBigUInt64LE(BigInt(ENTRY), 24);
  bytes.writeBigUInt64LE(BigInt(HEADERS), 32);
  bytes.writeUInt16LE(HEADER, 54);
  const names = '\0libc.so.6\0libm.so.6\0me.so\0';
  bytes.write(names, STRINGS, 'latin1');
  const entries = [[1, 1], [1, 11], [14, 21], [5, BASE + STRINGS], ...dynamic];
  for (const [index, [tag, value]] of entries.entries()) {
    bytes.writeBigUInt64LE(BigInt(tag!), DYNAMIC + index * 16);
    bytes.writeBigUInt64LE(BigInt(value!), DYNAMIC + index * 16 + 8);
  }
  const types = segments ?? [PT.headers, PT.interpreter, PT.load, PT.dynamic, PT.note];
  bytes.writeUInt16LE(types.length, 56);
  const dynamicBytes = (entries.length + spare) * 16;
  for (const [index, type] of types.entries()) {
    const at = HEADERS + index * HEADER;
    const [offset, size] = {
      [PT.load]: [0, bytes.length],
      [PT.dynamic]: [DYNAMIC, dynamicBytes],
      [PT.headers]: [HEADERS, types.length * HEADER],
    }[type] ?? [0x200, 8];
    bytes.writeUInt32LE(type, at);
    for (const [place, value] of [offset!, BASE + offset!, 0, size!, size!, 8].entries())
      bytes.writeBigUInt64LE(BigInt(value), at + 8 + place * 8);
  }
  return bytes;
}

function start(): Buffer {
  const code = Buffer.alloc(150, 0x90);
  code.fill(0, 0, 112);
  code.write('imdswatch-start\0');
  return code;
}

const OWN = { start: start(), loader: '../lib/ld.so', searchPath: '$ORIGIN/../lib' };

/** Returns type, offset, address and size in the file of each program header of a table. */
function headersAt(bytes: Buffer, at: number, count: number): number[][] {
  return Array.from({ length: count }, (_, index) => {
    const from = at + index * HEADER;
    const longs = [8, 16, 32].map((offset) => Number(bytes.readBigUInt64LE(from + offset)));
    return [bytes.readUInt32LE(from), ...longs];
  });
}

describe('a program that starts by its own loader', () => {
  const before = program();
  const after = startByOwnLoader(before, OWN);
  const own = PAGE; // of the file: the first page boundary behind it

  it('begins in the code that was added, which knows where the program itself begins', () => {
    const address = BASE + PAGE;
    assert.equal(Number(after.readBigUInt64LE(24)), address + 112);
    assert.equal(Number(after.readBigUInt64LE(own + 16)), address);
    assert.equal(Number(after.readBigUInt64LE(own + 24)), ENTRY);
    assert.equal(after.toString('latin1', own + 48, own + 48 + 13), '../lib/ld.so\0');
    assert.ok(after.subarray(own + 112, own + 150).every((byte) => byte === 0x90));
  });

  it('has no interpreter for the kernel, and one for the loader', () => {
    const count = after.readUInt16LE(56);
    assert.equal(count, before.readUInt16LE(56));
    const kernels = headersAt(after, HEADERS, count);
    assert.deepEqual(
      kernels.map(([type]) => type),
      [PT.headers, PT.load, PT.load, PT.dynamic, PT.note],
    );
    const [, offset, address, size] = kernels[2]!;
    assert.deepEqual([offset, address, offset! + size!], [own, BASE + PAGE, after.length]);
    const table = Number(after.readBigUInt64LE(own + 32)) - address! + own;
    const loaders = headersAt(after, table, Number(after.readBigUInt64LE(own + 40)));
    assert.deepEqual(
      loaders.map(([type]) => type),
      [PT.headers, PT.interpreter, PT.load, PT.load, PT.dynamic, PT.note],
    );
    // The loader computes from this one where the program is.
    assert.deepEqual(loaders[0]!.slice(1), [table, table - own + address!, loaders.length * HEADER]);
  });

  it('has a search path at the end of its dynamic section, and nothing else is changed', () => {
    const at = DYNAMIC + 4 * 16;
    assert.equal(Number(after.readBigUInt64LE(at)), 15);
    const path = Number(after.readBigUInt64LE(at + 8)) + STRINGS + BASE - (BASE + PAGE) + own;
    assert.equal(after.toString('latin1', path), '$ORIGIN/../lib\0');
    const changed = [...before.keys()].filter((index) => before[index] !== after[index]);
    const places = (index: number) =>
      (index >= 24 && index < 32) ||
      (index >= HEADERS && index < HEADERS + 5 * HEADER) ||
      (index >= at && index < at + 16);
    assert.ok(changed.every(places), String(changed.filter((index) => !places(index))));
    assert.deepEqual(linkedLibraries(after), { soname: 'me.so', needed: ['libc.so.6', 'libm.so.6'] });
  });

  it('is refused where that cannot be done', () => {
    const refused = (made: Made | Buffer, message: RegExp, more: Partial<typeof OWN> = {}) => {
      const bytes = Buffer.isBuffer(made) ? made : program(made);
      assert.throws(() => startByOwnLoader(bytes, { ...OWN, ...more }), message);
    };
    refused(Buffer.alloc(100), /no ELF file/);
    refused({ segments: [PT.headers, PT.load, PT.dynamic] }, /no interpreter/);
    refused({ dynamic: [[29, 1]] }, /search path of its own/);
    refused({ dynamic: [[15, 1]] }, /search path of its own/);
    refused({ spare: 1 }, /no spare entry/);
    refused({}, /is too long/, { loader: 'x'.repeat(64) });
    refused({}, /not what packaging\/native makes/, { start: Buffer.alloc(150) });
  });
});

describe('a text in a library', () => {
  it('is replaced wherever it stands alone', () => {
    const bytes = Buffer.from('\0/lib/\0/usr/lib/\0x/lib/\0/lib/\0', 'latin1');
    replaceText(bytes, '/lib/', '/sys/');
    assert.equal(bytes.toString('latin1'), '\0/sys/\0/usr/lib/\0x/lib/\0/sys/\0');
    replaceText(bytes, '/usr/lib/', '');
    assert.equal(bytes.toString('latin1'), '\0/sys/\0\0usr/lib/\0x/lib/\0/sys/\0');
  });

  it('must be there, and may not become longer', () => {
    const bytes = Buffer.from('\0/lib/\0', 'latin1');
    assert.throws(() => replaceText(bytes, '/lib64/', ''), /is not in this file/);
    assert.throws(() => replaceText(bytes, '/lib/', '/lib64/'), /is longer than/);
  });
});
