/** Adds up what the kernel has counted for the connections to a port of this machine. */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';

export interface Traffic {
  connections: number;
  /** Bytes of TCP's payload, and segments, from and to the agents. */
  sentBytes: number;
  receivedBytes: number;
  segments: number;
}

/** Ethernet, IPv4, and TCP with timestamps: RFC 894, RFC 791, RFC 9293 and RFC 7323. */
const HEADER_BYTES = 14 + 20 + 32;
const MAX_OUTPUT_BYTES = 64 * 1024 * 1024;

/** Connections that end take their counts with them, so compare only while none ends. */
export async function trafficTo(port: number): Promise<Traffic> {
  const { stdout } = await promisify(execFile)(
    'ss',
    ['--tcp', '--info', '--numeric', '--no-header', 'state', 'established', `( dport = :${port} )`],
    { maxBuffer: MAX_OUTPUT_BYTES },
  );
  return trafficIn(stdout);
}

/** Adds up the connections in what `ss --info` has written. It leaves out counts that are zero. */
export function trafficIn(listing: string): Traffic {
  const sum = (name: string) =>
    [...listing.matchAll(new RegExp(`\\b${name}:(\\d+)`, 'g'))].reduce(
      (all, [, value]) => all + Number(value),
      0,
    );
  return {
    connections: listing.match(/\bsegs_out:/g)?.length ?? 0,
    sentBytes: sum('bytes_sent'),
    receivedBytes: sum('bytes_received'),
    segments: sum('segs_out') + sum('segs_in'),
  };
}

/** Returns the bytes between two readings as a network would carry them, with the headers of each segment. */
export function carriedBytes(before: Traffic, after: Traffic): number {
  const payload = after.sentBytes - before.sentBytes + after.receivedBytes - before.receivedBytes;
  return payload + (after.segments - before.segments) * HEADER_BYTES;
}
