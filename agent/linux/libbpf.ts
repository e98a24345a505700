/**
 * The part of libbpf.so.1 that one object with tracing programs, a ring buffer and an array of counters
 * needs. Signatures: tools/lib/bpf/libbpf.h and bpf.h of libbpf 1.0 (all are still there in 1.5).
 */
import koffi from 'koffi';
import { evidenceOf } from './ebpf_evidence.ts';
import { type BpfFailureKind, BpfUnavailable, judgeBpfFailure } from './ebpf_failure.ts';
import { RingReader } from './ebpf_ring.ts';
import { lastErrno, libc, mapShared, type Pointer, pageBytes, type SharedMemory } from './libc.ts';
import { whenReadable } from './readable.ts';

const LIBBPF_SONAME = 'libbpf.so.1';
const PRINTED_LINE_MAX_BYTES = 4096;
const PRINTED_LOG_MAX_CHARS = 64 * 1024;
/** struct bpf_prog_info of include/uapi/linux/bpf.h: `recursion_misses`, there since Linux 5.12. */
const PROG_INFO_BYTES = 216;
const PROG_INFO_RECURSION_MISSES_OFFSET = 208;

// A va_list passed to a function is a pointer on x86-64 (an array type) and on arm64 (32 bytes, passed by
// reference).
const printCallback = koffi.proto('int imds_print(int level, void *format, void *arguments)');

function bind() {
  let lib: ReturnType<typeof koffi.load>;
  try {
    lib = koffi.load(LIBBPF_SONAME);
  } catch (cause) {
    throw new BpfUnavailable(
      'libbpf_missing',
      `${LIBBPF_SONAME} could not be loaded: install libbpf 1.x (Debian, Ubuntu: apt-get install libbpf1; Amazon Linux: dnf install libbpf)`,
      '',
      { cause },
    );
  }
  return {
    openMem: lib.func('void *bpf_object__open_mem(void *bytes, size_t size, void *options)'),
    load: lib.func('int bpf_object__load(void *object)'),
    closeObject: lib.func('void bpf_object__close(void *object)'),
    nextProgram: lib.func('void *bpf_object__next_program(void *object, void *previous)'),
    programName: lib.func('const char *bpf_program__name(void *program)'),
    programFd: lib.func('int bpf_program__fd(void *program)'),
    findProgram: lib.func('void *bpf_object__find_program_by_name(void *object, const char *name)'),
    isToLoad: lib.func('bool bpf_program__autoload(void *program)'),
    setToLoad: lib.func('int bpf_program__set_autoload(void *program, bool load)'),
    attach: lib.func('void *bpf_program__attach(void *program)'),
    destroyLink: lib.func('int bpf_link__destroy(void *link)'),
    mapFd: lib.func('int bpf_map__fd(void *map)'),
    update: lib.func('int bpf_map_update_elem(int fd, void *key, void *value, uint64_t flags)'),
    lookup: lib.func('int bpf_map_lookup_elem(int fd, void *key, void *value)'),
    infoByFd: lib.func('int bpf_obj_get_info_by_fd(int fd, void *info, void *length)'),
    findMap: lib.func('void *bpf_object__find_map_by_name(void *object, const char *name)'),
    maxEntries: lib.func('uint32_t bpf_map__max_entries(void *map)'),
    setPrint: lib.func('void *libbpf_set_print(void *callback)'),
  };
}

type Libbpf = ReturnType<typeof bind>;

/** Failures that are about every program. */
const GENERAL_FAILURES: ReadonlySet<BpfFailureKind> = new Set(['libbpf_missing', 'no_btf', 'locked_down']);

function unavailable(step: string, errno: number, printed: string): BpfUnavailable {
  const { kind, message } = judgeBpfFailure(evidenceOf(step, errno));
  return new BpfUnavailable(kind, message, printed);
}

/**
 * Runs `work` while libbpf's messages are collected as text for it; otherwise they would go to standard
 * error.
 */
function withPrintKept<T>(libbpf: Libbpf, work: (printed: () => string) => T): T {
  const line = Buffer.alloc(PRINTED_LINE_MAX_BYTES);
  let text = '';
  const keep = koffi.register((_level: number, format: Pointer, args: Pointer) => {
    const length = libc().vsnprintf(line, line.length, format, args);
    if (text.length < PRINTED_LOG_MAX_CHARS) {
      text += line.toString('utf8', 0, Math.max(0, Math.min(length, line.length - 1)));
    }
    return 0;
  }, koffi.pointer(printCallback));
  libbpf.setPrint(keep);
  try {
    return work(() => text.trim());
  } finally {
    libbpf.setPrint(null);
    koffi.unregister(keep);
  }
}

/** A loaded and attached object. */
export class BpfObject {
  readonly #libbpf: Libbpf;
  readonly #object: Pointer;
  readonly #programs: { name: string; fd: number }[] = [];
  readonly #links: Pointer[] = [];
  readonly #mappings: SharedMemory[] = [];
  #open = true;

  private constructor(libbpf: Libbpf, object: Pointer) {
    this.#libbpf = libbpf;
    this.#object = object;
  }

  /**
   * Loads an ELF object of eBPF programs into the kernel and attaches each to the hook that its section
   * names.
   * @param prepare fills maps that the programs read, before the first of them runs.
   * @param alternatives names of programs of which at most one is loaded: the first that this kernel takes. Their
   * sections are marked with `?`.
   * @throws BpfUnavailable with the reason; nothing is left loaded then.
   */
  static load(
    elf: Uint8Array,
    prepare?: (loaded: BpfObject) => void,
    alternatives: readonly string[] = [],
  ): BpfObject {
    for (const alternative of alternatives) {
      try {
        return BpfObject.#load(elf, prepare, alternative);
      } catch (error) {
        // The others may be about this program.
        if (!(error instanceof BpfUnavailable) || GENERAL_FAILURES.has(error.kind)) throw error;
      }
    }
    return BpfObject.#load(elf, prepare, null);
  }

  static #load(
    elf: Uint8Array,
    prepare: ((loaded: BpfObject) => void) | undefined,
    alternative: string | null,
  ): BpfObject {
    const libbpf = bind();
    return withPrintKept(libbpf, (printed) => {
      const object: Pointer = libbpf.openMem(elf, elf.length, null);
      if (!object) throw unavailable('open', lastErrno(), printed());
      const loaded = new BpfObject(libbpf, object);
      try {
        if (alternative !== null) {
          const program: Pointer = libbpf.findProgram(object, alternative);
          if (!program) throw new Error(`the eBPF object has no program "${alternative}"`);
          libbpf.setToLoad(program, true);
        }
        const result: number = libbpf.load(object);
        if (result < 0) throw unavailable('load', -result, printed());
        prepare?.(loaded);
        loaded.#attachAll(printed);
      } catch (error) {
        loaded.close();
        throw error;
      }
      // libbpf reads all of the kernel's types (some 6 MB) while it loads; this gives the pages back.
      libc().mallocTrim?.(0);
      return loaded;
    });
  }

  #attachAll(printed: () => string): void {
    for (let program: Pointer = null; ; ) {
      program = this.#libbpf.nextProgram(this.#object, program);
      if (!program) return;
      if (!this.#libbpf.isToLoad(program)) continue;
      const link: Pointer = this.#libbpf.attach(program);
      if (!link) throw unavailable('attach', lastErrno(), printed());
      this.#links.push(link);
      this.#programs.push({ name: this.#libbpf.programName(program), fd: this.#libbpf.programFd(program) });
    }
  }

  /** Returns whether the program `name` is loaded and attached. */
  hasProgram(name: string): boolean {
    return this.#programs.some((program) => program.name === name);
  }

  #map(name: string): { fd: number; maxEntries: number } {
    const map: Pointer = this.#libbpf.findMap(this.#object, name);
    if (!map) throw new BpfUnavailable('failed', `the eBPF object has no map "${name}"`);
    return { fd: this.#libbpf.mapFd(map), maxEntries: this.#libbpf.maxEntries(map) };
  }

  /**
   * Opens the ring buffer `name`. The reader must not be used after `close`.
   * @throws BpfUnavailable when it cannot be mapped.
   */
  ring(name: string): RingReader {
    const { fd, maxEntries: ringBytes } = this.#map(name);
    const page = pageBytes();
    const consumer = this.#share(fd, 0, page, true);
    const producer = this.#share(fd, page, page + 2 * ringBytes, false);
    return new RingReader(consumer, producer, page, ringBytes);
  }

  /**
   * Calls `onReadable` when a program has put a record into the ring buffer `name` that asks for it, until the result
   * is called.
   */
  whenReadable(name: string, onReadable: () => void): () => void {
    return whenReadable(this.#map(name).fd, onReadable);
  }

  #share(fd: number, offset: number, length: number, isWritable: boolean): ArrayBuffer {
    const memory = mapShared(fd, offset, length, { isWritable });
    if (memory === null) throw unavailable('map', lastErrno(), '');
    this.#mappings.push(memory);
    return memory.bytes;
  }

  /**
   * Returns the u64 at each of `keys` of an array map.
   * @throws Error when the map does not have a key.
   */
  readArray(map: string, keys: number[]): number[] {
    const { fd } = this.#map(map);
    const key = Buffer.alloc(4);
    const value = Buffer.alloc(8);
    return keys.map((index) => {
      key.writeUInt32LE(index);
      const result: number = this.#libbpf.lookup(fd, key, value);
      if (result !== 0) throw new Error(`key ${index} of the eBPF map "${map}" cannot be read (${result})`);
      return Number(value.readBigUInt64LE());
    });
  }

  /**
   * Writes the u32 `value` at each of `keys` of an array map.
   * @throws Error when the map does not have a key.
   */
  writeArray(map: string, keys: readonly number[], value: number): void {
    const { fd } = this.#map(map);
    const key = Buffer.alloc(4);
    const bytes = Buffer.alloc(4);
    bytes.writeUInt32LE(value);
    for (const index of keys) {
      key.writeUInt32LE(index);
      const result: number = this.#libbpf.update(fd, key, bytes, 0);
      if (result !== 0)
        throw new Error(`key ${index} of the eBPF map "${map}" cannot be written (${result})`);
    }
  }

  /**
   * Returns how often each program was skipped, because it was running on that CPU already; 0 before Linux
   * 5.12.
   */
  recursionMisses(): Map<string, number> {
    const info = Buffer.alloc(PROG_INFO_BYTES);
    const length = Buffer.alloc(4);
    const misses = new Map<string, number>();
    for (const { name, fd } of this.#programs) {
      info.fill(0);
      length.writeUInt32LE(info.length);
      const result: number = this.#libbpf.infoByFd(fd, info, length);
      if (result !== 0)
        throw new Error(`the kernel gives no information about the eBPF program ${name} (${result})`);
      misses.set(name, Number(info.readBigUInt64LE(PROG_INFO_RECURSION_MISSES_OFFSET)));
    }
    return misses;
  }

  close(): void {
    if (!this.#open) return;
    this.#open = false;
    for (const link of this.#links) this.#libbpf.destroyLink(link);
    for (const memory of this.#mappings) memory.unmap();
    this.#libbpf.closeObject(this.#object);
  }
}
