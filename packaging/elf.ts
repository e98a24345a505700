/**
 * Edits programs and libraries in the format ELF (64 bits, little-endian) without moving anything in them: elf(5),
 * and the System V ABI, chapters 4 and 5.
 */

const PROGRAM_HEADER_BYTES = 56;
const DYNAMIC_ENTRY_BYTES = 16;
const PT = { load: 1, dynamic: 2, interpreter: 3, headers: 6 };
const DT = { null: 0, needed: 1, stringTable: 5, soname: 14, searchPath: 15, newSearchPath: 29 };
const READ_AND_EXECUTE = 5;
/** Largest page of the supported kernels: 64 KiB on arm64. */
const PAGE_BYTES = 0x1_0000;
/** Layout of `struct configuration` in native/start.c. */
const START = { mark: 'imdswatch-start\0', own: 16, entry: 24, headers: 32, count: 40, loader: 48 };
const START_LOADER_BYTES = 64;
const START_CODE = START.loader + START_LOADER_BYTES;

/** A program header (Elf64_Phdr). All are bytes or addresses. */
interface Segment {
  type: number;
  flags: number;
  offset: number;
  address: number;
  fileBytes: number;
  memoryBytes: number;
  align: number;
}

class Elf {
  readonly bytes: Buffer;

  constructor(bytes: Buffer) {
    const isElf = bytes.subarray(0, 6).equals(Buffer.from([0x7f, 0x45, 0x4c, 0x46, 2, 1]));
    if (!isElf || bytes.readUInt16LE(54) !== PROGRAM_HEADER_BYTES)
      throw new Error('this is no ELF file of 64 bits');
    this.bytes = bytes;
  }

  get segments(): Segment[] {
    const at = Number(this.bytes.readBigUInt64LE(32));
    const count = this.bytes.readUInt16LE(56);
    return Array.from({ length: count }, (_, index) => {
      const from = at + index * PROGRAM_HEADER_BYTES;
      const long = (offset: number) => Number(this.bytes.readBigUInt64LE(from + offset));
      return {
        type: this.bytes.readUInt32LE(from),
        flags: this.bytes.readUInt32LE(from + 4),
        offset: long(8),
        address: long(16),
        fileBytes: long(32),
        memoryBytes: long(40),
        align: long(48),
      };
    });
  }

  /** Offset in the file of what is loaded at `address`. */
  offsetOf(address: number): number {
    const segment = this.segments.find(
      (one) => one.type === PT.load && address >= one.address && address < one.address + one.fileBytes,
    );
    if (segment === undefined) throw new Error(`nothing of the file is loaded at 0x${address.toString(16)}`);
    return address - segment.address + segment.offset;
  }

  /** Entries of the dynamic section with their offsets in the file, without the empty ones at its end. */
  get dynamic(): { entries: { tag: number; value: number; at: number }[]; end: number } {
    const section = this.segments.find(({ type }) => type === PT.dynamic);
    if (section === undefined) throw new Error('this file is not linked dynamically');
    const entries: { tag: number; value: number; at: number }[] = [];
    const end = section.offset + section.fileBytes;
    for (let at = section.offset; at < end; at += DYNAMIC_ENTRY_BYTES) {
      const tag = Number(this.bytes.readBigInt64LE(at));
      if (tag === DT.null) break;
      entries.push({ tag, value: Number(this.bytes.readBigUInt64LE(at + 8)), at });
    }
    return { entries, end };
  }

  text(offset: number): string {
    return this.bytes.toString('latin1', offset, this.bytes.indexOf(0, offset));
  }
}

/** Names of the libraries that a program or library asks for, and its own name; null for a program. */
export function linkedLibraries(bytes: Buffer): { soname: string | null; needed: string[] } {
  const elf = new Elf(bytes);
  const { entries } = elf.dynamic;
  const table = elf.offsetOf(entries.find(({ tag }) => tag === DT.stringTable)!.value);
  const named = (wanted: number) =>
    entries.filter(({ tag }) => tag === wanted).map(({ value }) => elf.text(table + value));
  return { soname: named(DT.soname)[0] ?? null, needed: named(DT.needed) };
}

export interface OwnLoader {
  /** The code of native/start.c, compiled for the program's architecture. */
  start: Buffer;
  /** Path of the loader, relative to the program's directory. */
  loader: string;
  /** Directories of the libraries, as in `-rpath`: `$ORIGIN` is the program's directory. */
  searchPath: string;
}

/**
 * Returns a program that starts by its own loader, wherever it lies, and that finds its libraries beside it,
 * before those of the machine and of LD_LIBRARY_PATH. So do the libraries that it loads later, because the search
 * path is of the old kind (DT_RPATH), which holds for them too.
 *
 * One segment is appended: the code of native/start.c, a copy of the program headers for the loader, and the search path.
 * The kernel sees a program without an interpreter that begins in that code.
 */
export function startByOwnLoader(program: Buffer, { start, loader, searchPath }: OwnLoader): Buffer {
  const elf = new Elf(program);
  const { segments } = elf;
  if (start.toString('latin1', 0, START.mark.length) !== START.mark || start.length <= START_CODE)
    throw new Error('the code of the start is not what packaging/native makes');
  const interpreter = segments.find(({ type }) => type === PT.interpreter);
  const lastLoad = segments.findLastIndex(({ type }) => type === PT.load);
  if (interpreter === undefined || lastLoad < segments.indexOf(interpreter))
    throw new Error('this program has no interpreter before its last segment');

  const offset = roundUp(program.length, PAGE_BYTES);
  const loads = segments.filter(({ type }) => type === PT.load);
  const address = roundUp(Math.max(...loads.map((one) => one.address + one.memoryBytes)), PAGE_BYTES);
  const headersAt = roundUp(start.length, 8);
  const headerCount = segments.length + 1;
  const pathAt = headersAt + headerCount * PROGRAM_HEADER_BYTES;
  const bytes = pathAt + Buffer.byteLength(searchPath) + 1;
  const own: Segment = {
    type: PT.load,
    flags: READ_AND_EXECUTE,
    offset,
    address,
    fileBytes: bytes,
    memoryBytes: bytes,
    align: PAGE_BYTES,
  };
  const withOwn = segments.toSpliced(lastLoad + 1, 0, own);

  const result = Buffer.alloc(offset + bytes);
  program.copy(result);
  start.copy(result, offset);
  const write = (at: number, value: number) => result.writeBigUInt64LE(BigInt(value), offset + at);
  write(START.own, address);
  write(START.entry, Number(program.readBigUInt64LE(24)));
  write(START.headers, address + headersAt);
  write(START.count, headerCount);
  if (Buffer.byteLength(loader) >= START_LOADER_BYTES) throw new Error(`the path ${loader} is too long`);
  result.write(`${loader}\0`, offset + START.loader);
  result.write(`${searchPath}\0`, offset + pathAt);

  // The loader computes where the program is from the address of its headers.
  const copied = withOwn.map((one) =>
    one.type === PT.headers
      ? {
          ...one,
          offset: offset + headersAt,
          address: address + headersAt,
          fileBytes: headerCount * PROGRAM_HEADER_BYTES,
          memoryBytes: headerCount * PROGRAM_HEADER_BYTES,
        }
      : one,
  );
  writeSegments(result, offset + headersAt, copied);
  writeSegments(
    result,
    Number(program.readBigUInt64LE(32)),
    withOwn.filter((one) => one !== interpreter),
  );
  result.writeBigUInt64LE(BigInt(address + START_CODE), 24);
  addSearchPath(new Elf(result), address + pathAt);
  return result;
}

/** Uses a spare entry of the dynamic section: linkers leave some (`-z spare-dynamic-tags`). */
function addSearchPath(elf: Elf, address: number): void {
  const { entries, end } = elf.dynamic;
  if (entries.some(({ tag }) => tag === DT.searchPath || tag === DT.newSearchPath))
    throw new Error('this program has a search path of its own');
  const at = entries.at(-1)!.at + DYNAMIC_ENTRY_BYTES;
  if (at + 2 * DYNAMIC_ENTRY_BYTES > end) throw new Error('the dynamic section has no spare entry');
  const table = entries.find(({ tag }) => tag === DT.stringTable)!.value;
  elf.bytes.writeBigUInt64LE(BigInt(DT.searchPath), at);
  // The value is relative to the table of strings, and glibc does not ask for the table's end.
  elf.bytes.writeBigUInt64LE(BigInt(address - table), at + 8);
}

function writeSegments(bytes: Buffer, at: number, segments: readonly Segment[]): void {
  for (const [index, one] of segments.entries()) {
    const from = at + index * PROGRAM_HEADER_BYTES;
    bytes.writeUInt32LE(one.type, from);
    bytes.writeUInt32LE(one.flags, from + 4);
    const longs = [one.offset, one.address, one.address, one.fileBytes, one.memoryBytes, one.align];
    for (const [place, value] of longs.entries()) bytes.writeBigUInt64LE(BigInt(value), from + 8 + place * 8);
  }
}

/** Replaces a whole text, between two NULs, wherever it is. Throws if it is not there, or if the new one is longer. */
export function replaceText(bytes: Buffer, text: string, by: string): void {
  const from = Buffer.from(`\0${text}\0`, 'latin1');
  const to = Buffer.from(`\0${by}\0`, 'latin1');
  if (to.length > from.length) throw new Error(`${by} is longer than ${text}`);
  let found = 0;
  for (let at = bytes.indexOf(from); at !== -1; at = bytes.indexOf(from, at + 1)) {
    to.copy(bytes, at);
    found++;
  }
  if (found === 0) throw new Error(`the text ${text} is not in this file`);
}

function roundUp(value: number, to: number): number {
  return Math.ceil(value / to) * to;
}
