/**
 * Puts the packets of several captures into the order of their times. Each capture hands its packets over in batches of
 * its own, and the same conversation may be seen in several network namespaces: its first copy has the caller's own
 * addresses.
 *
 * A packet waits until every capture has been read up to the time at which the packet came, and no longer than three
 * times the time for which the kernel collects. The order of one capture never changes.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import type { Packet, PacketHandler } from './packet_source.ts';

/** The part of a capture that is needed here; see `LiveSource`. */
export interface CountedCapture {
  readonly packetsCaptured: number;
  readonly packetsRead: number;
  assumeAllRead(captured: number): void;
}

/** The event loop reads captures before each of these checks. So their number counts, not the time that passed. */
const CHECKS = 40;

/** Bound on the bytes that wait. Beyond it they are handled in the order in which they are there. */
const MAX_HELD_BYTES = 8 * 1024 * 1024;

interface Round<Capture> {
  /** Packets that came later, and were not there when the round began, wait for the next round. */
  untilUs: number;
  /** The number of packets that each capture must have read. */
  targets: Map<Capture, number>;
  timer: NodeJS.Timeout;
}

interface Held {
  packets: Packet[];
  /** The number of packets that were there when the round began. */
  due: number;
}

export class CaptureOrder<Capture extends CountedCapture> {
  readonly #collectMs: number;
  readonly #handler: PacketHandler;
  readonly #clockUs: () => number;
  readonly #held = new Map<Capture, Held>();
  #heldBytes = 0;
  #round: Round<Capture> | null = null;

  /** `clockUs` returns the time of the clock of which the packets have their times. */
  constructor(collectMs: number, handler: PacketHandler, clockUs: () => number = () => Date.now() * 1_000) {
    this.#collectMs = collectMs;
    this.#handler = handler;
    this.#clockUs = clockUs;
  }

  /** Adds packets that a capture handed over, and handles those whose turn it is. `captures`: all that are open. */
  addPackets(capture: Capture, packets: readonly Packet[], captures: readonly Capture[]): void {
    const held = this.#held.get(capture) ?? { packets: [], due: 0 };
    this.#held.set(capture, held);
    for (const packet of packets) {
      // The next packets overwrite the buffer of the capture.
      held.packets.push({ ...packet, data: Uint8Array.from(packet.data) });
      this.#heldBytes += packet.data.length;
    }
    if (this.#heldBytes > MAX_HELD_BYTES) {
      this.flush();
      return;
    }
    this.#round ??= this.#beginRound(captures);
    this.#endRoundIfRead();
  }

  /** Handles everything that waits. */
  flush(): void {
    if (this.#round !== null) clearTimeout(this.#round.timer);
    this.#round = null;
    this.#release(Number.POSITIVE_INFINITY);
  }

  /** Resolves when every packet that these captures have captured until now has been handled. */
  async caughtUp(captures: readonly Capture[]): Promise<void> {
    const targets = captures.map((capture) => ({ capture, target: capture.packetsCaptured }));
    for (let check = 0; check < CHECKS; check++) {
      if (targets.every(({ capture, target }) => capture.packetsRead >= target)) break;
      await sleep(Math.ceil(this.#collectMs / 8));
    }
    for (const { capture, target } of targets) capture.assumeAllRead(target);
    this.flush();
  }

  #beginRound(captures: readonly Capture[]): Round<Capture> {
    // The time is read first: a packet that comes between belongs to the next round, and is read in this one.
    const untilUs = this.#clockUs();
    const targets = new Map(captures.map((capture) => [capture, capture.packetsCaptured]));
    for (const held of this.#held.values()) held.due = held.packets.length;
    // The event loop reads the captures before it runs immediates, even if this process did not run for a while.
    const timer = setTimeout(() => setImmediate(() => this.#endOverdue(timer)), 3 * this.#collectMs);
    return { untilUs, targets, timer };
  }

  #endRoundIfRead(): void {
    const round = this.#round;
    if (round === null) return;
    for (const [capture, target] of round.targets) if (capture.packetsRead < target) return;
    this.#endRound();
  }

  #endOverdue(timer: NodeJS.Timeout): void {
    if (this.#round?.timer !== timer) return;
    for (const [capture, target] of this.#round.targets) capture.assumeAllRead(target);
    this.#endRound();
  }

  #endRound(): void {
    const round = this.#round!;
    clearTimeout(round.timer);
    this.#round = null;
    this.#release(round.untilUs);
    if (this.#held.size === 0) return;
    this.#round = this.#beginRound([...round.targets.keys()]);
    this.#endRoundIfRead();
  }

  /** Handles the packets until a time, in the order of their times. */
  #release(untilUs: number): void {
    const ready: Packet[] = [];
    for (;;) {
      let next: Held | null = null;
      for (const held of this.#held.values()) {
        if (held.due === 0 && held.packets[0]!.timeUs > untilUs) continue;
        if (next === null || held.packets[0]!.timeUs < next.packets[0]!.timeUs) next = held;
      }
      if (next === null) break;
      const packet = next.packets.shift()!;
      ready.push(packet);
      if (next.due > 0) next.due--;
      this.#heldBytes -= packet.data.length;
      if (next.packets.length === 0) {
        for (const [capture, held] of this.#held) if (held === next) this.#held.delete(capture);
      }
    }
    if (ready.length > 0) this.#handler(ready);
  }
}
