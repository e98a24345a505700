/**
 * Decides which processes sent bytes of a connection. Pure. Each process that takes a socket over is reported with the
 * sequence number of its first byte; the bytes before are those of the process before it.
 */
import type { ByteRange } from '../flow.ts';
import type { ConnectionUse } from './attributor.ts';
import type { SocketOwner } from './owner.ts';

export interface SendingProcess {
  owner: SocketOwner;
  /** Sequence number of the first byte that it sent. */
  sequence: number;
}

/**
 * @param opener the process that connected; null if it is not known.
 * @param senders the processes that took the socket over, oldest first.
 */
export function connectionUse(
  opener: SocketOwner | null,
  senders: readonly SendingProcess[],
  { first, last }: ByteRange,
): ConnectionUse {
  const begin = senders.findLastIndex(({ sequence }) => !isBehind(sequence, first));
  const end = senders.findLastIndex(({ sequence }) => !isBehind(sequence, last));
  const sender = senders[end]?.owner ?? null;
  const isOpener = sender === null || (opener !== null && isSameProgram(sender, opener));
  return { opener, sender: isOpener ? null : sender, isMixed: begin !== end };
}

/** Returns whether a sequence number comes behind another one (RFC 9293, section 3.4). */
function isBehind(sequence: number, other: number): boolean {
  return ((sequence - other) | 0) > 0;
}

/** Returns whether both are one process that runs one program. */
function isSameProgram(a: SocketOwner, b: SocketOwner): boolean {
  return (
    a.pid === b.pid &&
    a.startTicks === b.startTicks &&
    a.executable === b.executable &&
    (a.args ?? []).join('\0') === (b.args ?? []).join('\0')
  );
}
