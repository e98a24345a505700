/**
 * Opens perf events: a tracepoint that runs an eBPF program, the buffers that a program writes into, and samples of a
 * tracepoint.
 */
import { readFileSync } from 'node:fs';
import { libc, mapShared, pageBytes, type SharedMemory } from './libc.ts';

const SYS_PERF_EVENT_OPEN = process.arch === 'arm64' ? 241 : 298;

/** include/uapi/linux/perf_event.h: `struct perf_event_attr` of Linux 4.1, PERF_ATTR_SIZE_VER3. */
const ATTRIBUTE_BYTES = 96;
const PERF_TYPE_SOFTWARE = 1;
const PERF_TYPE_TRACEPOINT = 2;
const PERF_COUNT_SW_BPF_OUTPUT = 10;
const PERF_SAMPLE_TID = 0x2;
const PERF_SAMPLE_TIME = 0x4;
const PERF_SAMPLE_RAW = 0x400;
/** The bit `use_clockid` of the attribute's flags. */
const USE_CLOCK = 1n << 25n;
const CLOCK_MONOTONIC = 1;
/** The bit `watermark` of the attribute's flags: `wakeup_events` counts bytes. */
const WATERMARK = 1n << 14n;
const PERF_FLAG_FD_CLOEXEC = 8;
const PERF_EVENT_IOC_ENABLE = 0x2400;
const PERF_EVENT_IOC_SET_OUTPUT = 0x2405;
const PERF_EVENT_IOC_SET_BPF = 0x40042408;
const PERF_EVENT_IOC_SET_FILTER = 0x40082406;
const ALL_PROCESSES = -1;
const NO_GROUP = -1;

function open(type: number, config: number, sampleType: number, wakeupBytes: number, cpu: number): number {
  const attribute = Buffer.alloc(ATTRIBUTE_BYTES);
  attribute.writeUInt32LE(type, 0);
  attribute.writeUInt32LE(ATTRIBUTE_BYTES, 4);
  attribute.writeBigUInt64LE(BigInt(config), 8);
  attribute.writeBigUInt64LE(1n, 16); // sample_period
  attribute.writeBigUInt64LE(BigInt(sampleType), 24);
  const watermark = wakeupBytes > 0 ? WATERMARK : 0n;
  const clock = sampleType & PERF_SAMPLE_TIME ? USE_CLOCK : 0n;
  attribute.writeBigUInt64LE(watermark | clock, 40);
  if (clock !== 0n) attribute.writeInt32LE(CLOCK_MONOTONIC, 92);
  attribute.writeUInt32LE(wakeupBytes, 48);
  const { perfEventOpen } = libc();
  return Number(
    perfEventOpen(SYS_PERF_EVENT_OPEN, attribute, ALL_PROCESSES, cpu, NO_GROUP, PERF_FLAG_FD_CLOEXEC),
  );
}

/**
 * Attaches a program to a tracepoint, on all CPUs. Returns the descriptor that holds the attachment, or -1 (see
 * `lastErrno`).
 */
export function attachToTracepoint(id: number, program: number): number {
  // The program runs on every CPU, whichever one the event is opened for (kernel/events/core.c, perf_tp_event).
  const event = open(PERF_TYPE_TRACEPOINT, id, PERF_SAMPLE_RAW, 0, onlineCpus()[0] ?? 0);
  if (event < 0) return -1;
  const { close, ioctl } = libc();
  if (ioctl(event, PERF_EVENT_IOC_SET_BPF, program) === 0 && ioctl(event, PERF_EVENT_IOC_ENABLE, 0) === 0)
    return event;
  close(event);
  return -1;
}

export interface OutputBuffer {
  /** Readable when half of the buffer is full. */
  descriptor: number;
  /** A page of positions, then the ring. */
  memory: SharedMemory;
  pageBytes: number;
  ringBytes: number;
}

/** Opens the buffer for one CPU's records of a program; null when the kernel refuses it (see `lastErrno`). */
export function openOutputBuffer(cpu: number, ringBytes: number): OutputBuffer | null {
  return shared(
    open(PERF_TYPE_SOFTWARE, PERF_COUNT_SW_BPF_OUTPUT, PERF_SAMPLE_RAW, ringBytes / 2, cpu),
    ringBytes,
  );
}

/**
 * Opens the buffer for one CPU's samples of a tracepoint, each with process, thread and monotonic time; null when the
 * kernel refuses it (see `lastErrno`). `filter` chooses the records of which samples are taken, by their fields
 * (Documentation/trace/events.rst, "Event filtering"); null takes all. The descriptor is readable when `wakeupBytes` are
 * in the buffer.
 */
export function openSampleBuffer(
  id: number,
  cpu: number,
  ringBytes: number,
  filter: string | null,
  wakeupBytes = ringBytes / 2,
): OutputBuffer | null {
  return shared(openFiltered(id, cpu, filter, wakeupBytes), ringBytes);
}

/**
 * Lets one CPU's samples of another tracepoint be written into a buffer that `openSampleBuffer` opened for that CPU.
 * Returns the descriptor that holds this, or -1 (see `lastErrno`).
 */
export function openSampleSource(id: number, cpu: number, filter: string | null, buffer: number): number {
  const event = openFiltered(id, cpu, filter, 1);
  if (event < 0) return -1;
  const { close, ioctl } = libc();
  if (ioctl(event, PERF_EVENT_IOC_SET_OUTPUT, buffer) === 0 && ioctl(event, PERF_EVENT_IOC_ENABLE, 0) === 0)
    return event;
  close(event);
  return -1;
}

function openFiltered(id: number, cpu: number, filter: string | null, wakeupBytes: number): number {
  const sample = PERF_SAMPLE_TID | PERF_SAMPLE_TIME | PERF_SAMPLE_RAW;
  const descriptor = open(PERF_TYPE_TRACEPOINT, id, sample, wakeupBytes, cpu);
  if (descriptor < 0 || filter === null) return descriptor;
  const { close, ioctlText } = libc();
  if (ioctlText(descriptor, PERF_EVENT_IOC_SET_FILTER, Buffer.from(`${filter}\0`)) === 0) return descriptor;
  close(descriptor);
  return -1;
}

function shared(descriptor: number, ringBytes: number): OutputBuffer | null {
  if (descriptor < 0) return null;
  const { close, ioctl } = libc();
  const page = pageBytes();
  const memory = mapShared(descriptor, 0, page + ringBytes, { isWritable: true });
  if (memory !== null && ioctl(descriptor, PERF_EVENT_IOC_ENABLE, 0) === 0) {
    return { descriptor, memory, pageBytes: page, ringBytes };
  }
  memory?.unmap();
  close(descriptor);
  return null;
}

/** Returns the numbers of the processors that are in use. */
export function onlineCpus(): number[] {
  return parseCpuList(readFileSync('/sys/devices/system/cpu/online', 'latin1'));
}

/** Returns how many processors the machine may have at most. */
export function possibleCpuCount(): number {
  return Math.max(...parseCpuList(readFileSync('/sys/devices/system/cpu/possible', 'latin1'))) + 1;
}

/** Parses a list such as `0-3,8` (Documentation/admin-guide/cputopology.rst). */
export function parseCpuList(text: string): number[] {
  const cpus: number[] = [];
  for (const part of text.trim().split(',')) {
    const [first, last = first] = part.split('-').map(Number);
    for (let cpu = first!; cpu <= last!; cpu++) cpus.push(cpu);
  }
  return cpus;
}
