/**
 * Hosts in the form that the reader's thread sends: the stored JSON, which is parsed only where it changed.
 */
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

interface Known {
  factsText: string;
  facts: HostFacts;
  heartbeatText: string | null;
  heartbeat: Heartbeat | null;
}

/** Parses hosts, and keeps the parsed JSON of the last time. Callers must not change the results. */
export class HostsUnpacker {
  #known = new Map<string, Known>();

  /** `areAll`: `packed` has all hosts. The parsed JSON of others would take memory for nothing. */
  unpack(packed: readonly PackedHost[], areAll: boolean): StoredHost[] {
    const known = new Map<string, Known>();
    const hosts = packed.map(
      ({ facts: factsText, firstUs, lastUs, heartbeat: heartbeatText, receivedUs }) => {
        const before = this.#known.get(factsText);
        const facts = before?.facts ?? (JSON.parse(factsText) as HostFacts);
        let heartbeat: Heartbeat | null = null;
        if (heartbeatText !== null) {
          heartbeat =
            before?.heartbeatText === heartbeatText
              ? before.heartbeat
              : (JSON.parse(heartbeatText) as Heartbeat);
        }
        known.set(factsText, { factsText, facts, heartbeatText, heartbeat });
        const received = heartbeat === null ? null : { heartbeat, receivedUs: receivedUs ?? 0 };
        return { facts, firstUs, lastUs, heartbeat: received };
      },
    );
    if (areAll) this.#known = known;
    return hosts;
  }
}
