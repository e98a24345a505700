/**
 * Drives the time of a capture file by the times of its packets. The clock ticks before each packet, so that
 * decisions that a live watch makes by waiting (a missing answer, a missing segment) are made in the same
 * way.
 */
import type { Counters } from '../../protocol/records.ts';
import type { PacketHandler, PacketSource } from './packet_source.ts';

/** The clock ticks like `LiveWatch`: more often while something waits for a decision. */
const IDLE_STEP_US = 1_000_000;
const BUSY_STEP_US = 250_000;
/** After this time every decision has been made, so the clock jumps to the new time. */
const LONGEST_WALK_US = 900_000_000;
/** A step is at most this fraction of the time since the last packet. */
const WALK_STEPS_PER_DOUBLING = 16;
/**
 * Captures of several machines are out of order by less. A larger difference means that the last time was
 * damaged.
 */
const MAX_DISORDER_US = 3_600_000_000;

export class PacketClock implements PacketSource {
  private readonly source: PacketSource;
  private readonly tick: (nowUs: number) => boolean;
  private nowUs: number | null = null;

  /**
   * `tick` is called with the time. It returns whether something waits for a decision within the next second.
   */
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

  start(handler: PacketHandler): void {
    this.source.start((packets) => {
      for (const packet of packets) {
        this.advance(packet.timeUs);
        handler([packet]);
      }
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
      // Steps grow with the length of a silence: the longest takes about 100, even in a crafted file.
      stepUs = Math.max(stepUs, Math.floor(walkedUs / WALK_STEPS_PER_DOUBLING));
    }
  }
}
