/**
 * Assembles eBPF programs: the instruction set of include/uapi/linux/bpf.h (Documentation/bpf/instruction-set.rst), as
 * far as Linux 4.16 knows it. So no compiler is needed where a program depends on what this very kernel reports.
 */

export type Register = 0 | 1 | 2 | 3 | 4 | 5 | 6 | 7 | 8 | 9 | 10;
/** The register that points to the end of the stack. */
export const STACK: Register = 10;

/** Numbers of `enum bpf_func_id`. */
export const HELPERS = {
  map_lookup_elem: 1,
  ktime_get_ns: 5,
  get_current_pid_tgid: 14,
  get_current_uid_gid: 15,
  get_current_comm: 16,
  perf_event_output: 25,
  /** Since Linux 4.18. */
  get_current_cgroup_id: 80,
} as const;

/** BPF_SIZE of a load or a store, by the number of bytes. */
const SIZES: Readonly<Record<number, number>> = { 1: 0x10, 2: 0x08, 4: 0x00, 8: 0x18 };
const BPF_LDX_MEM = 0x61;
const BPF_ST_MEM = 0x62;
const BPF_STX_MEM = 0x63;
const BPF_STX_XADD = 0xc3;
const BPF_LD_IMM64 = 0x18;
const BPF_PSEUDO_MAP_FD = 1;
const BPF_ALU64_MOV_K = 0xb7;
const BPF_ALU64_MOV_X = 0xbf;
const BPF_ALU64_ADD_K = 0x07;
/** Clears the upper half of the register. */
const BPF_ALU_MOV_K = 0xb4;
const BPF_JA = 0x05;
const BPF_JEQ_K = 0x15;
const BPF_JEQ_X = 0x1d;
const BPF_JNE_K = 0x55;
const BPF_JNE_X = 0x5d;
const BPF_CALL = 0x85;
const BPF_EXIT = 0x95;

interface Instruction {
  code: number;
  to: number;
  from: number;
  offset: number;
  immediate: number;
  /** The label that a jump leads to. */
  target?: string;
}

export class Assembler {
  readonly #instructions: Instruction[] = [];
  readonly #labels = new Map<string, number>();

  /** Loads `bytes` (1, 2, 4 or 8) from an address; the upper bits become 0. */
  load(bytes: number, to: Register, from: Register, offset: number): this {
    return this.#add(BPF_LDX_MEM | sizeOf(bytes), to, from, offset, 0);
  }

  store(bytes: number, to: Register, offset: number, from: Register): this {
    return this.#add(BPF_STX_MEM | sizeOf(bytes), to, from, offset, 0);
  }

  storeNumber(bytes: number, to: Register, offset: number, value: number): this {
    return this.#add(BPF_ST_MEM | sizeOf(bytes), to, 0, offset, value);
  }

  /** Adds a register to the 8 bytes at an address, at once for all CPUs. */
  addAtomically(to: Register, offset: number, from: Register): this {
    return this.#add(BPF_STX_XADD | sizeOf(8), to, from, offset, 0);
  }

  move(to: Register, from: Register): this {
    return this.#add(BPF_ALU64_MOV_X, to, from, 0, 0);
  }

  /** Sets a register to a number of 32 bits without a sign. */
  set(to: Register, value: number): this {
    return this.#add(BPF_ALU_MOV_K, to, 0, 0, value | 0);
  }

  setSigned(to: Register, value: number): this {
    return this.#add(BPF_ALU64_MOV_K, to, 0, 0, value);
  }

  add(to: Register, value: number): this {
    return this.#add(BPF_ALU64_ADD_K, to, 0, 0, value);
  }

  /** Sets a register to a map, by its descriptor. */
  setMap(to: Register, descriptor: number): this {
    this.#add(BPF_LD_IMM64, to, BPF_PSEUDO_MAP_FD, 0, descriptor);
    return this.#add(0, 0, 0, 0, 0);
  }

  /** Jumps if a register has a value of at most 31 bits, or that of another register. */
  jumpIfEqual(one: Register, other: number | { register: Register }, target: string): this {
    return this.#compare(BPF_JEQ_K, BPF_JEQ_X, one, other, target);
  }

  jumpUnlessEqual(one: Register, other: number | { register: Register }, target: string): this {
    return this.#compare(BPF_JNE_K, BPF_JNE_X, one, other, target);
  }

  jump(target: string): this {
    return this.#add(BPF_JA, 0, 0, 0, 0, target);
  }

  call(helper: number): this {
    return this.#add(BPF_CALL, 0, 0, 0, helper);
  }

  exit(): this {
    return this.#add(BPF_EXIT, 0, 0, 0, 0);
  }

  label(name: string): this {
    this.#labels.set(name, this.#instructions.length);
    return this;
  }

  /** Returns the instructions, 8 bytes each. Throws for a jump to a label that there is not. */
  bytes(): Buffer {
    const bytes = Buffer.alloc(this.#instructions.length * 8);
    for (const [at, { code, to, from, offset, immediate, target }] of this.#instructions.entries()) {
      const label = target === undefined ? null : this.#labels.get(target);
      if (label === undefined) throw new Error(`the program has no label "${target}"`);
      bytes.writeUInt8(code, at * 8);
      bytes.writeUInt8(to | (from << 4), at * 8 + 1);
      bytes.writeInt16LE(label === null ? offset : label - at - 1, at * 8 + 2);
      bytes.writeInt32LE(immediate, at * 8 + 4);
    }
    return bytes;
  }

  #compare(
    byNumber: number,
    byRegister: number,
    one: Register,
    other: number | { register: Register },
    target: string,
  ): this {
    if (typeof other === 'number') return this.#add(byNumber, one, 0, 0, other, target);
    return this.#add(byRegister, one, other.register, 0, 0, target);
  }

  #add(code: number, to: number, from: number, offset: number, immediate: number, target?: string): this {
    this.#instructions.push({ code, to, from, offset, immediate, ...(target !== undefined && { target }) });
    return this;
  }
}

function sizeOf(bytes: number): number {
  const size = SIZES[bytes];
  if (size === undefined) throw new Error(`a value of ${bytes} bytes cannot be loaded or stored at once`);
  return size;
}
