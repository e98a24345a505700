/**
 * Reads which processes connect to an endpoint without eBPF: by samples of the tracepoint sock:inet_sock_set_state (since
 * Linux 4.16). A socket enters SYN_SENT in its caller's own context, so the sample has the caller's pid; it becomes
 * ESTABLISHED, or ends, in anybody's. The kernel's own filter leaves out connections to other places.
 */
import { type EndpointService, endpointsOf, IMDS_PORT } from '../../protocol/endpoints.ts';
import type { Counters } from '../../protocol/records.ts';
import { BpfUnavailable } from '../linux/ebpf_failure.ts';
import { addressBytes } from '../linux/netlink_inet_diag.ts';
import type { TracepointFormat } from '../linux/tracepoint_format.ts';
import { type TracepointSample, TracepointSamples } from '../linux/tracepoint_samples.ts';
import { AddressTexts } from './ebpf_address.ts';
import { STATES, TRACEPOINT } from './tracepoint_program.ts';
import { kindOf, RecordReading, socketKey, type TracepointRecord } from './tracepoint_records.ts';

const IPPROTO_TCP = 6;
const AF_INET6 = 10;
/** Bound on the rounds of one reading; see tracepoint_probe.ts. */
const MAX_ROUNDS = 16;
/** More than a sample takes: 8 bytes of header, 20 of process and time, some 72 of the record. */
const MAX_SAMPLE_BYTES = 256;
/** The fields that are read, with their size in bytes. */
const FIELDS = {
  ...{ skaddr: 8, oldstate: 4, newstate: 4, sport: 2, dport: 2, family: 2 },
  ...{ daddr: 4, saddr_v6: 16, daddr_v6: 16 },
} as const;

/** Byte offsets in a record. */
type FieldOffsets = Record<keyof typeof FIELDS | 'protocol', number> & {
  protocolBytes: number;
  /** The end of the field that stands last. */
  end: number;
};

/** Returns where the fields are; null if the tracepoint has another form than is known. */
export function fieldOffsets(format: TracepointFormat): FieldOffsets | null {
  const offsets: Partial<FieldOffsets> = {};
  let end = 0;
  for (const [name, size] of Object.entries(FIELDS)) {
    const field = format.fields.get(name);
    if (field?.size !== size) return null;
    offsets[name as keyof typeof FIELDS] = field.offset;
    end = Math.max(end, field.offset + size);
  }
  // The protocol had 8 bits before Linux 5.6.
  const protocol = format.fields.get('protocol');
  if (protocol?.size !== 1 && protocol?.size !== 2) return null;
  end = Math.max(end, protocol.offset + protocol.size);
  return {
    ...(offsets as FieldOffsets),
    ...{ protocol: protocol.offset, protocolBytes: protocol.size, end },
  };
}

/**
 * Returns the filter for the kernel. It compares an address of four bytes as one number in the host's order, which is
 * little-endian on both supported machines, and cannot compare longer ones: connections over IPv6 are chosen here.
 */
export function filterFor(addresses: readonly Uint8Array[]): string {
  const places = addresses.map((address) =>
    address.length === 4 ? `daddr == ${Buffer.from(address).readUInt32LE(0)}` : `family == ${AF_INET6}`,
  );
  const states = Object.values(STATES).map((state) => `newstate == ${state}`);
  const any = (terms: readonly string[]) => `(${[...new Set(terms)].join(' || ')})`;
  return `dport == ${IMDS_PORT} && ${any(states)} && ${any(places)}`;
}

/** Reads one sample; null if it is about another place than the endpoints, or no record. */
export function connectionIn(
  { pid, tid, timeNs, record }: TracepointSample,
  offsets: FieldOffsets,
  isEndpoint: (address: string) => boolean,
  addresses: AddressTexts,
): TracepointRecord | null {
  if (record.length < offsets.end) return null;
  const kind = kindOf(record.readUInt32LE(offsets.newstate), record.readUInt32LE(offsets.oldstate));
  const protocol = record.readUIntLE(offsets.protocol, offsets.protocolBytes);
  const remotePort = record.readUInt16LE(offsets.dport);
  if (kind === null || protocol !== IPPROTO_TCP || remotePort !== IMDS_PORT) return null;
  // These have IPv4 addresses, too, as mapped ones (include/trace/events/sock.h).
  const remoteAddress = addresses.textOf(record, offsets.daddr_v6);
  if (!isEndpoint(remoteAddress)) return null;
  const localAddress = addresses.textOf(record, offsets.saddr_v6);
  const localPort = record.readUInt16LE(offsets.sport);
  return {
    ...{ kind, timeNs, socket: socketKey(record, offsets.skaddr) },
    tuple: { localAddress, localPort, remoteAddress, remotePort },
    caller: kind === 'begun' && pid > 0 ? { pid, tid, realUid: null, cgroupId: null, name: null } : null,
  };
}

export class ConnectionSamples {
  readonly #samples: TracepointSamples;
  readonly #offsets: FieldOffsets;
  readonly #isEndpoint: (address: string) => boolean;
  readonly #addresses = new AddressTexts();
  /** Called when half of a CPU's buffer is full. */
  onFilling: () => void = () => {};

  private constructor(endpoints: readonly EndpointService[]) {
    const watched = endpointsOf(endpoints);
    const filter = filterFor([...watched.keys()].map((text) => addressBytes(text)!));
    this.#isEndpoint = (address) => watched.has(address);
    this.#samples = TracepointSamples.open(
      TRACEPOINT,
      () => filter,
      () => this.onFilling(),
    );
    const offsets = fieldOffsets(this.#samples.format);
    if (offsets === null) {
      this.#samples.close();
      throw new BpfUnavailable('failed', `the tracepoint ${TRACEPOINT} has an unknown form`);
    }
    this.#offsets = offsets;
  }

  /** @throws BpfUnavailable when the kernel gives no samples. */
  static open(endpoints: readonly EndpointService[]): ConnectionSamples {
    return new ConnectionSamples(endpoints);
  }

  /** Returns the records that wait, of all CPUs. */
  read(): RecordReading {
    const reading = new RecordReading();
    const handle = (sample: TracepointSample) => {
      const record = connectionIn(sample, this.#offsets, this.#isEndpoint, this.#addresses);
      if (record !== null) reading.records.push(record);
    };
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const found = this.#samples.consume(handle, MAX_SAMPLE_BYTES, (timeNs) => reading.addGap(timeNs));
      if (found === 0) break;
    }
    return reading.sort();
  }

  counters(): Counters {
    return { ring_lost: this.#samples.lost };
  }

  close(): void {
    this.#samples.close();
  }
}
