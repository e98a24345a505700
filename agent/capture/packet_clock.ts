/**
 * For packets of a file, time is what the packets carry: it is told before each packet is handed on, so that what a
 * live watch decides by waiting (an answer that does not come, a segment that is missing) is decided the same way.
 */
import type { Counters } from '../../protocol/records.ts';
import type { Packet, PacketSource } from './packet_source.ts';

/** As `LiveWatch` ticks: more often while something waits for a decision. */
const IDLE_STEP_US = 1_000_000;
const BUSY_STEP_US = 250_000;
/** Beyond this nothing of what waited is undecided; only the new time has to be told. */
const LONGEST_WALK_US = 900_000_000;
/** A step is at most this fraction of the time already walked since the packet before. */
const WALK_STEPS_PER_DOUBLING = 16;
/** Captures of several machines are out of order by less; beyond it a damaged time has led the clock astray. */
const MAX_DISORDER_US = 3_600_000_000;

export class PacketClock implements PacketSource {
  private readonly source: PacketSource;
  private readonly tick: (nowUs: number) => boolean;
  private nowUs: number | null = null;

  /** `tick`: what is told the time; returns whether something waits for a decision within the next second. */
  constructor(source: PacketSource, tick: (nowUs: number) => boolean) {
    this.source = source;
    this.tick = tick;
  }

  get name(): string {
    return this.source.name;
  }

  get live(): boolean {
    return this.source.live;
  }

  start(handler: (packet: Packet) => void): void {
    this.source.start((packet) => {
      this.advance(packet.timeUs);
      handler(packet);
    });
  }

  stop(): void {
    this.source.stop();
  }

  counters(): Counters {
    return this.source.counters();
  }

  private advance(timeUs: number): void {
    if (this.nowUs === null || timeUs < this.nowUs - MAX_DISORDER_US) this.nowUs = timeUs;
    let stepUs = BUSY_STEP_US;
    for (let walkedUs = 0; this.nowUs + stepUs <= timeUs; walkedUs += stepUs) {
      this.nowUs = walkedUs < LONGEST_WALK_US ? this.nowUs + stepUs : timeUs;
      stepUs = this.tick(this.nowUs) ? BUSY_STEP_US : IDLE_STEP_US;
      // The longer a silence, the coarser its steps: about 100 of them for the longest, whatever a crafted file jumps.
      stepUs = Math.max(stepUs, Math.floor(walkedUs / WALK_STEPS_PER_DOUBLING));
    }
  }
}
