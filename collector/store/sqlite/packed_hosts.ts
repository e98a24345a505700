/** Hosts in the form that the reader's thread sends: the stored JSON, which is copied faster than objects. */
import type { HostFacts } from '../../../protocol/call.ts';
import { unpackHeartbeat } from '../packed_heartbeat.ts';
import type { StoredHost } from '../store.ts';

export interface PackedHost {
  /** JSON of `HostFacts`. */
  facts: string;
  firstUs: number;
  lastUs: number;
  heardUs: number | null;
  /** See `packHeartbeat`. */
  body: Uint8Array | null;
  receivedUs: number | null;
}

export function unpackHost({ facts, firstUs, lastUs, heardUs, body, receivedUs }: PackedHost): StoredHost {
  return {
    facts: JSON.parse(facts) as HostFacts,
    firstUs,
    lastUs,
    heardUs,
    heartbeat: body === null ? null : { heartbeat: unpackHeartbeat(body), receivedUs: receivedUs ?? 0 },
  };
}
