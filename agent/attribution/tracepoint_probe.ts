/** Loads the tracepoint program (tracepoint_program.ts) into the kernel, and reads its records. */
import type { EndpointService } from '../../protocol/endpoints.ts';
import { endpointsOf } from '../../protocol/endpoints.ts';
import type { Counters } from '../../protocol/records.ts';
import {
  createMap,
  isRefused,
  loadTracepointProgram,
  mapCount,
  type Refused,
  recursionMissesOf,
  setMapElement,
} from '../linux/bpf_syscall.ts';
import { evidenceOf } from '../linux/ebpf_evidence.ts';
import { BpfUnavailable, judgeTracepointFailure } from '../linux/ebpf_failure.ts';
import { lastErrno, libc } from '../linux/libc.ts';
import { addressBytes, mapped } from '../linux/netlink_inet_diag.ts';
import {
  attachToTracepoint,
  type OutputBuffer,
  onlineCpus,
  openOutputBuffer,
  possibleCpuCount,
} from '../linux/perf_event.ts';
import { PerfRing } from '../linux/perf_ring.ts';
import { whenReadable } from '../linux/readable.ts';
import { readTracepointFormat } from '../linux/tracepoint_format.ts';
import { AddressTexts } from './ebpf_address.ts';
import {
  LOST_ENTRIES,
  STATES,
  TRACEPOINT,
  type TracepointMaps,
  tracepointProgram,
  UnknownTracepoint,
} from './tracepoint_program.ts';
import { RecordReading, tracepointRecord } from './tracepoint_records.ts';

/** For each CPU. A record takes 120 bytes: there is room for some 540. */
const RING_BYTES = 64 * 1024;
/** More than a record takes. */
const MAX_RECORD_BYTES = 256;
/**
 * Bound on the rounds of one reading: a record of another CPU may be older than those that were read before it, and a
 * round that finds nothing proves that there is none.
 */
const MAX_ROUNDS = 16;

export class TracepointProbe {
  readonly #program: number;
  readonly #lost: number;
  readonly #rings: PerfRing[] = [];
  readonly #close: (() => void)[] = [];
  readonly #addresses = new AddressTexts();
  #malformed = 0;
  #final: Counters | null = null;
  /** Called when half of a CPU's buffer is full. */
  onFilling: () => void = () => {};

  /**
   * Loads and attaches the program.
   * @throws BpfUnavailable if that is not possible; nothing is left loaded then.
   */
  static open(endpoints: readonly EndpointService[]): TracepointProbe {
    const format = readTracepointFormat(TRACEPOINT);
    const descriptors: number[] = [];
    const keep = (result: number | Refused, step: string): number => {
      if (isRefused(result)) throw unavailable(step, result.errno, result.log);
      descriptors.push(result);
      return result;
    };
    try {
      const cpus = onlineCpus();
      const records = keep(createMap('perfEventArray', 4, possibleCpuCount()), 'map');
      const lost = keep(createMap('array', 8, LOST_ENTRIES), 'map');
      const program = keep(loadProgram(format, endpoints, { records, lost }), 'load');
      const probe = new TracepointProbe(program, lost);
      try {
        for (const cpu of cpus) probe.#openBuffer(cpu, records);
        descriptors.push(attach(format.id, program));
      } catch (error) {
        for (const close of probe.#close) close();
        throw error;
      }
      probe.#close.push(() => closeAll(descriptors));
      return probe;
    } catch (error) {
      closeAll(descriptors);
      throw error;
    }
  }

  private constructor(program: number, lost: number) {
    this.#program = program;
    this.#lost = lost;
  }

  #openBuffer(cpu: number, records: number): void {
    const buffer: OutputBuffer | null = openOutputBuffer(cpu, RING_BYTES);
    if (buffer === null) throw unavailable('map', lastErrno(), '');
    const { descriptor, memory, pageBytes, ringBytes } = buffer;
    const stopWaiting = whenReadable(descriptor, () => this.onFilling());
    this.#close.push(() => {
      stopWaiting();
      memory.unmap();
      libc().close(descriptor);
    });
    if (!setMapElement(records, cpu, descriptor)) throw unavailable('map', lastErrno(), '');
    this.#rings.push(new PerfRing(memory.bytes, pageBytes, ringBytes));
  }

  /** Returns the records that wait, of all CPUs. */
  read(): RecordReading {
    const reading = new RecordReading();
    for (let round = 0; round < MAX_ROUNDS; round++) {
      let found = 0;
      for (const ring of this.#rings) {
        let lastNs = 0n;
        found += ring.consume((body) => {
          // The size of the program's record stands before it.
          const record = tracepointRecord(body.subarray(4), this.#addresses);
          if (record === null) this.#malformed++;
          else {
            lastNs = record.timeNs;
            reading.records.push(record);
          }
        });
        if (!ring.hadRoomFor(MAX_RECORD_BYTES)) reading.addGap(lastNs);
      }
      if (found === 0) break;
    }
    return reading.sort();
  }

  /**
   * `ring_lost`: records for which there was no room. The program counts them itself from Linux 4.20 on; before that
   * the kernel's buffer does, later.
   */
  counters(): Counters {
    if (this.#final !== null) return this.#final;
    const byProgram = Object.values(STATES).reduce((sum, state) => sum + mapCount(this.#lost, state), 0);
    const byBuffer = this.#rings.reduce((sum, { lost }) => sum + lost, 0);
    return {
      malformed_records: this.#malformed,
      ring_lost: Math.max(byProgram, byBuffer),
      recursion_misses: recursionMissesOf(this.#program),
    };
  }

  close(): void {
    if (this.#final !== null) return;
    this.#final = this.counters();
    for (const close of this.#close) close();
  }
}

/** Loads the program; without the cgroup of the caller where the kernel cannot report it. */
function loadProgram(
  format: ReturnType<typeof readTracepointFormat>,
  endpoints: readonly EndpointService[],
  maps: TracepointMaps,
): number | Refused {
  const addresses = [...endpointsOf(endpoints).keys()].map((text) =>
    Buffer.from(mapped(addressBytes(text)!)),
  );
  try {
    const load = (hasCgroupId: boolean) =>
      loadTracepointProgram('imds_tracepoint', tracepointProgram(format, addresses, maps, hasCgroupId));
    const loaded = load(true);
    return isRefused(loaded) ? load(false) : loaded;
  } catch (error) {
    if (!(error instanceof UnknownTracepoint)) throw error;
    throw new BpfUnavailable('failed', `the tracepoint ${TRACEPOINT} has an unknown form: ${error.message}`);
  }
}

function attach(tracepoint: number, program: number): number {
  const attached = attachToTracepoint(tracepoint, program);
  if (attached < 0) throw unavailable('attach', lastErrno(), '');
  return attached;
}

function unavailable(step: string, errno: number, log: string): BpfUnavailable {
  const { kind, message } = judgeTracepointFailure(evidenceOf(step, errno));
  return new BpfUnavailable(kind, message, log);
}

function closeAll(descriptors: readonly number[]): void {
  for (const descriptor of descriptors) libc().close(descriptor);
}
