/** Live watching of this host, as `watch` and the agent do it: the pipeline on a live source, driven by time. */
import type { Logger } from 'pino';
import type { Call, HostFacts } from '../protocol/call.ts';
import type { Counters, StageCounters } from '../protocol/records.ts';
import { openAttributor } from './attribution/open_attributor.ts';
import { wallClockUs } from './capture/clock.ts';
import { LiveSource } from './capture/live_source.ts';
import type { LookSettings } from './config.ts';
import { hostFacts } from './identity/host.ts';
import { ProcessIdentity } from './identity/process_identity.ts';
import { lossesOf } from './losses.ts';
import { Pipeline } from './pipeline.ts';

/** While nothing waits for a decision. */
const IDLE_TICK_MS = 1_000;
const BUSY_TICK_MS = 250;
/** A tick this late means that we did not run (suspended, starved): nobody looked at what was captured meanwhile. */
const STALL_MS = 5_000;

export interface WatchCoverage {
  liveMs: number;
  /** Null where the kernel cannot be asked. */
  kernelConnections: number | null;
  seenConnections: number;
}

export class LiveWatch {
  readonly host: HostFacts;
  readonly attribution: { method: 'ebpf' | 'sock_diag'; reason: string | null };
  private readonly source: LiveSource;
  private readonly pipeline: Pipeline;
  private readonly attributor: ReturnType<typeof openAttributor>['attributor'];
  private timer: NodeJS.Timeout | null = null;
  private isBusy = false;
  private lastTickMs = performance.now();
  private liveForMs = 0;
  private stalledMs = 0;
  /** What was counted can be asked for after the end; the kernel's side of it cannot. */
  private final: { counters: StageCounters; coverage: WatchCoverage } | null = null;

  /** Opens what attribution needs. Throws `OperatorError` (3) when it is asked for and not permitted. */
  constructor(
    settings: LookSettings,
    log: Pick<Logger, 'debug' | 'info' | 'warn'>,
    onCall: (call: Call) => void,
  ) {
    this.host = hostFacts({ id: settings.host_id, name: settings.host_name });
    const { attributor, reason } = openAttributor({ mode: settings.attribution, log });
    this.attributor = attributor;
    this.attribution = { method: attributor.method, reason };
    this.source = new LiveSource({
      interface: settings.interface,
      ringBytes: settings.capture_buffer_bytes,
      say: (message) => log.warn(message),
    });
    this.pipeline = new Pipeline({
      source: this.source,
      attribution: { attributor, identity: new ProcessIdentity() },
      host: this.host,
      onCall,
      onPacket: () => this.hurry(),
    });
  }

  /** Throws `OperatorError` when the capture cannot be opened. */
  start(): void {
    this.pipeline.start();
    this.lastTickMs = performance.now();
    this.schedule(IDLE_TICK_MS);
  }

  stop(): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.pipeline.stop();
    this.final = { counters: this.counters(), coverage: this.coverage() };
    this.attributor.close();
  }

  get isLive(): boolean {
    return this.source.live;
  }

  get sourceName(): string {
    return this.source.name;
  }

  counters(): StageCounters {
    return this.final?.counters ?? this.pipeline.counters();
  }

  /** Everything that was lost since the start, by `stage.counter`; only what is not zero. */
  losses(): Counters {
    const lost = lossesOf(this.counters());
    if (this.stalledMs > 0) lost['watch.stalled_ms'] = Math.round(this.stalledMs);
    return lost;
  }

  /** Since the start: how long capture was live, and connections as the kernel and as the capture saw them. */
  coverage(): WatchCoverage {
    return (
      this.final?.coverage ?? {
        liveMs: this.liveForMs,
        kernelConnections: this.attributor.kernelConnections(),
        seenConnections: this.counters()['conversation']?.['connections'] ?? 0,
      }
    );
  }

  private hurry(): void {
    if (this.isBusy) return;
    this.isBusy = true;
    this.schedule(BUSY_TICK_MS);
  }

  private schedule(delayMs: number): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = setTimeout(() => this.tick(), delayMs);
  }

  private tick(): void {
    const nowMs = performance.now();
    const elapsedMs = nowMs - this.lastTickMs;
    this.lastTickMs = nowMs;
    if (elapsedMs > STALL_MS) this.stalledMs += elapsedMs;
    else if (this.source.live) this.liveForMs += elapsedMs;
    this.source.check();
    this.isBusy = this.pipeline.tick(wallClockUs());
    this.schedule(this.isBusy ? BUSY_TICK_MS : IDLE_TICK_MS);
  }
}
