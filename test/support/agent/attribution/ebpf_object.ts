/**
 * Reads the type information (BTF) of an eBPF object: its functions, its maps and the layout of its structs.
 */
import { execFileSync } from 'node:child_process';

const BTF_EXTRA_BYTES: Record<number, (vlen: number) => number> = {
  1: () => 4, // INT
  3: () => 12, // ARRAY
  4: (vlen) => vlen * 12, // STRUCT
  5: (vlen) => vlen * 12, // UNION
  6: (vlen) => vlen * 8, // ENUM
  13: (vlen) => vlen * 8, // FUNC_PROTO
  14: () => 4, // VAR
  15: (vlen) => vlen * 12, // DATASEC
  17: () => 4, // DECL_TAG
  19: (vlen) => vlen * 12, // ENUM64
};

export interface ObjectFacts {
  functions: string[];
  variables: string[];
  /** The size and the byte offset of each member, by the name of the struct. */
  structs: Map<string, { bytes: number; members: Record<string, number> }>;
}

/** Parses the section `.BTF` of an ELF64 file (Documentation/bpf/btf.rst of the kernel). */
export function objectFacts(elf: Buffer): ObjectFacts {
  const btf = section(elf, '.BTF');
  const headerBytes = btf.readUInt32LE(4);
  const types = btf.subarray(headerBytes + btf.readUInt32LE(8)).subarray(0, btf.readUInt32LE(12));
  const strings = btf.subarray(headerBytes + btf.readUInt32LE(16));
  const text = (at: number) => strings.toString('utf8', at, strings.indexOf(0, at));
  const facts: ObjectFacts = { functions: [], variables: [], structs: new Map() };
  for (let at = 0; at < types.length; ) {
    const name = text(types.readUInt32LE(at));
    const info = types.readUInt32LE(at + 4);
    const kind = (info >>> 24) & 31;
    const vlen = info & 0xffff;
    const body = at + 12;
    if (kind === 12) facts.functions.push(name);
    if (kind === 14) facts.variables.push(name);
    if (kind === 4 && name !== '') {
      const members: Record<string, number> = {};
      for (let i = 0; i < vlen; i++) {
        members[text(types.readUInt32LE(body + 12 * i))] = types.readUInt32LE(body + 12 * i + 8) / 8;
      }
      facts.structs.set(name, { bytes: types.readUInt32LE(at + 8), members });
    }
    at = body + (BTF_EXTRA_BYTES[kind]?.(vlen) ?? 0);
  }
  facts.functions.sort();
  facts.variables.sort();
  return facts;
}

function section(elf: Buffer, name: string): Buffer {
  const table = Number(elf.readBigUInt64LE(0x28));
  const entryBytes = elf.readUInt16LE(0x3a);
  const count = elf.readUInt16LE(0x3c);
  const at = (i: number) => {
    const header = table + i * entryBytes;
    const offset = Number(elf.readBigUInt64LE(header + 24));
    return {
      name: elf.readUInt32LE(header),
      bytes: elf.subarray(offset, offset + Number(elf.readBigUInt64LE(header + 32))),
    };
  };
  const names = at(elf.readUInt16LE(0x3e)).bytes;
  for (let i = 0; i < count; i++) {
    const found = at(i);
    if (names.toString('latin1', found.name, names.indexOf(0, found.name)) === name) return found.bytes;
  }
  throw new Error(`the object has no section ${name}`);
}

/** Returns why the program cannot be built here, or false. */
export function whyNoCompiler(): string | false {
  for (const tool of ['clang', 'llvm-strip']) {
    try {
      execFileSync(tool, ['--version'], { stdio: 'ignore' });
    } catch {
      return `${tool} is not installed`;
    }
  }
  return false;
}
