/** Hosts in the form that the reader's thread sends: the stored JSON, which is copied faster than objects. */
import type { HostFacts } from '../../../protocol/call.ts';
import type { Heartbeat } from '../../../protocol/records.ts';
import type { StoredHost } from '../store.ts';

export interface PackedHost {
  /** JSON of `HostFacts`. */
  facts: string;
  firstUs: number;
  lastUs: number;
  /** JSON of `Heartbeat`. */
  heartbeat: string | null;
  receivedUs: number | null;
}

export function unpackHost({ facts, firstUs, lastUs, heartbeat, receivedUs }: PackedHost): StoredHost {
  return {
    facts: JSON.parse(facts) as HostFacts,
    firstUs,
    lastUs,
    heartbeat:
      heartbeat === null
        ? null
        : { heartbeat: JSON.parse(heartbeat) as Heartbeat, receivedUs: receivedUs ?? 0 },
  };
}
