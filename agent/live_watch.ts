/**
 * Watches this host live, for `watch` and the agent: runs the pipeline on a live source and drives it by
 * time.
 */
import type { Logger } from 'pino';
import type { Call, HostFacts } from '../protocol/call.ts';
import { endpointsOf } from '../protocol/endpoints.ts';
import { lossesOf } from '../protocol/losses.ts';
import type { Counters, Heartbeat, StageCounters } from '../protocol/records.ts';
import type { Attributor, KernelConnection } from './attribution/attributor.ts';
import { openAttributor } from './attribution/open_attributor.ts';
import { Relays } from './attribution/relays.ts';
import { Translations } from './attribution/translations.ts';
import { HostSource } from './capture/host_source.ts';
import type { LookSettings } from './config.ts';
import { KernelView } from './coverage/kernel_view.ts';
import { LiveTime, STALL_MS } from './coverage/live_time.ts';
import { endpointSocketsAt } from './coverage/namespace_view.ts';
import { NamespaceWatch } from './coverage/namespace_watch.ts';
import { RedirectedConnections } from './coverage/redirected_connections.ts';
import { RedirectedSockets } from './coverage/redirected_sockets.ts';
import { hostFacts } from './host/host_facts.ts';
import type { OwnCalls } from './host/own_calls.ts';
import { openEngines } from './identity/engines/open_engines.ts';
import { ProcessIdentity } from './identity/process_identity.ts';
import { WorkloadIdentity } from './identity/workload.ts';
import { giveBackFreeMemory, giveBackProgramPages } from './linux/free_memory.ts';
import { bootClockUs, monotonicNs, realClockUs } from './linux/libc.ts';
import { namespaceAt } from './linux/network_namespaces.ts';
import { Pipeline } from './pipeline.ts';

/**
 * Calls leave freed memory behind, which is returned to the kernel at this interval while there are calls.
 */
const GIVE_BACK_EVERY_MS = 5_000;
/** The interval of ticks while nothing waits for a decision. */
const IDLE_TICK_MS = 1_000;
const BUSY_TICK_MS = 250;
/**
 * Without the first program, /proc is read for each caller while packets wait: with 4 MiB, 22
 * calls of 200 callers at once were lost without eBPF (bench/RESULTS.md).
 */
const RING_BYTES = { ebpf: 4_194_304, tracepoint: 16_777_216, sock_diag: 16_777_216 };

/**
 * Time for which the kernel collects packets where it also records callers. A call is reported within 100 ms after its
 * answer, even if captures of several namespaces are read one after the other.
 */
const COLLECT_MS = 40;
/** Packets of this age have been read, as far as they were captured: decisions by time are about older ones. */
const COLLECTED_US = 2 * COLLECT_MS * 1_000;

/** One moment by three clocks, and the time that the capture was live until then. */
export interface WatchMoment {
  bootUs: number;
  wallUs: number;
  /** The clock of the kernel's reports, which stands still while the machine is suspended. */
  monotonicUs: number;
  liveMs: number;
}

export interface WatchCoverage {
  /** Connections that the kernel reported; null where the way of attribution reports none. */
  kernelConnections: number | null;
  seenConnections: number;
  /** The kernel's connections that the capture has seen, and those of which that is undecided. */
  joinedConnections: number | null;
  undecidedConnections: number;
  /** Calls that began and are not recorded yet. */
  openCalls: number;
  /** When the oldest open call or undecided connection began; null if there is none. */
  openSinceUs: number | null;
}

export interface LiveWatchOptions {
  /** Facts about the host. Without them, the local host facts are used. */
  host?: HostFacts;
  /** See `PipelineOptions`. */
  ownCalls?: OwnCalls;
  /** See `OpenAttributorOptions`. */
  onFallback?: () => void;
}

export class LiveWatch {
  readonly attribution: Heartbeat['attribution'] & { way: Attributor['method'] };
  /** Called about every second, and more often while there are calls. */
  onMoment: (moment: WatchMoment) => void = () => {};
  private readonly source: HostSource;
  private readonly workloads: WorkloadIdentity;
  private readonly translations: Translations;
  /** Undecided connections that the kernel of a namespace without a way around our captures has redirected. */
  private readonly redirected = new RedirectedConnections((connection) => this.noteRedirected(connection));
  /** Null where the kernel reports connections. */
  private readonly redirectedSockets: RedirectedSockets | null;
  private readonly kernelView: KernelView;
  private readonly namespaces: NamespaceWatch;
  private readonly pipeline: Pipeline;
  private readonly attributor: Attributor;
  private timer: NodeJS.Timeout | null = null;
  private isBusy = false;
  private lastTickMs = performance.now();
  private gaveBackMs = performance.now();
  private sawPackets = false;
  private time = new LiveTime(bootClockUs() / 1000);
  /** The last counters, kept because the kernel's part cannot be read after the end. */
  private final: { counters: StageCounters; coverage: WatchCoverage } | null = null;

  /** Opens attribution. Throws `OperatorError` (3) if the settings require what is not permitted. */
  constructor(
    settings: LookSettings,
    log: Pick<Logger, 'debug' | 'info' | 'warn'>,
    onCall: (call: Call, isProven: boolean) => void,
    { host = hostFacts(settings), ownCalls: own, onFallback }: LiveWatchOptions = {},
  ) {
    const { attributor, reason, eventsReason } = openAttributor({
      mode: settings.attribution,
      endpoints: settings.endpoints,
      log,
      ...(onFallback && { onFallback }),
    });
    this.attributor = attributor;
    const way = attributor.method;
    // Both programs are eBPF to a collector that knows no ways.
    const method = way === 'tracepoint' ? 'ebpf' : way;
    this.attribution = {
      method,
      reason,
      way,
      ...(eventsReason !== null && { no_process_events: eventsReason }),
    };
    this.workloads = new WorkloadIdentity({ engines: openEngines(settings, log) });
    this.source = new HostSource({
      maxNamespaces: settings.max_namespaces,
      interface: settings.interface,
      endpoints: settings.endpoints,
      ringBytes: settings.capture_buffer_bytes ?? RING_BYTES[attributor.method],
      collectMs: attributor.collectsPackets === true ? COLLECT_MS : 0,
      warn: (message) => log.warn(message),
    });
    this.translations = new Translations(this.source.netns);
    this.pipeline = new Pipeline({
      source: this.source,
      endpoints: settings.endpoints,
      attribution: {
        ...{ attributor, identity: new ProcessIdentity(), workloads: this.workloads },
        routes: {
          translations: this.translations,
          relays: new Relays(this.translations),
          namespacePath: (netns) => this.source.namespacePath(netns),
          findRedirected: (untilUs, sender, tuple) => {
            this.redirected.askUntil(untilUs);
            this.redirectedSockets?.find(sender, tuple);
          },
          capturesOthers: () => this.source.namespaces.length > 0,
        },
      },
      host,
      onCall,
      ...(own && { ownCalls: own }),
      onConnectionBegun: (remoteAddress, initialSequence, timeUs) =>
        this.kernelView.recordBeginning(remoteAddress, initialSequence, timeUs),
      onOwnerMissing: () => this.namespaces.findNew(performance.now()),
      onPackets: () => this.tickSoon(),
    });
    const endpoints = endpointsOf(settings.endpoints);
    const isEndpoint = (address: string) => endpoints.has(address);
    this.redirectedSockets =
      attributor.method === 'ebpf'
        ? null
        : new RedirectedSockets({
            ...{ attributor, netns: this.source.netns },
            socketsAt: (netns, path) =>
              namespaceAt(path) === netns ? endpointSocketsAt(path, isEndpoint) : [],
            onSocket: (connection, path) => {
              const where = { netns: connection.netns, path };
              this.pipeline.noteRedirected(connection, where, realClockUs());
            },
            onClosed: (netns, tuple) => this.pipeline.socketClosed(netns, tuple, realClockUs()),
          });
    this.namespaces = new NamespaceWatch({
      source: this.source,
      attributor,
      log,
      isEndpoint,
      isVisible: (netns) => this.kernelView.isVisible(netns),
    });
    this.kernelView = new KernelView({
      isWatched: (netns) => this.source.isWatched(netns),
      isRedirected: (connection) => this.redirected.isRedirected(connection),
      onUndecided: (connection) => {
        this.namespaces.holdNamespace(connection);
        this.redirected.add(connection);
      },
      onDecided: (connection) => {
        this.redirected.delete(connection);
        this.namespaces.held.release(connection);
      },
      onMissed: (connection) => this.namespaces.handleMissed(connection, performance.now()),
      onBlocked: (connection, timeUs) => this.pipeline.reportBlockedAttempt(connection, timeUs),
    });
  }

  /** Starts to capture. Throws `OperatorError` if the capture cannot be opened. */
  start(): void {
    this.pipeline.start();
    this.lastTickMs = performance.now();
    this.time = new LiveTime(bootClockUs() / 1000);
    // Reports until now are older than the capture. The namespace watch searches for all older connections
    // itself.
    this.attributor.poll();
    this.attributor.onConnection = (connection) =>
      this.kernelView.recordKernelConnection(connection, realClockUs());
    this.attributor.onNamespace = (netns, pid) => this.namespaces.noteProcess(netns, pid, performance.now());
    this.attributor.onUrgentOwner = (owner) => this.pipeline.prepareCaller(owner);
    this.attributor.onClosed = (netns, tuple) => {
      this.namespaces.handleClosed(netns, tuple, performance.now());
      this.pipeline.socketClosed(netns, tuple, realClockUs());
    };
    this.namespaces.start(this.lastTickMs);
    giveBackFreeMemory();
    giveBackProgramPages();
    this.schedule(IDLE_TICK_MS);
  }

  /** Ends the watch. Connections after `end` are compared with nothing: their packets may not be read any more. */
  stop(end: WatchMoment = this.moment()): void {
    if (this.timer !== null) clearTimeout(this.timer);
    this.timer = null;
    this.moment();
    this.kernelView.endAt(end.monotonicUs);
    this.pipeline.stop();
    this.kernelView.finish();
    this.namespaces.stop(performance.now());
    this.workloads.close(); // calls that wait for a name are emitted without it
    this.final = { counters: this.counters(), coverage: this.coverageNow() };
    this.attributor.close();
    this.translations.close();
  }

  get host(): HostFacts {
    return this.pipeline.host;
  }

  /** Sets the host facts that are added to every call from now on. */
  set host(host: HostFacts) {
    this.pipeline.host = host;
  }

  get isLive(): boolean {
    return this.source.live;
  }

  /**
   * Returns why nothing is watched, for the service manager, which can restart us; null while the watch
   * works.
   */
  stuckReason(): string | null {
    if (performance.now() - this.lastTickMs > STALL_MS) return 'captured packets are not being processed';
    // A restart would not bring an interface back. The watch looks for it every second.
    if (!this.source.live && !this.source.awaitsInterface) return 'the capture is not live';
    return null;
  }

  /** See the field `left_out` of a coverage report. Without eBPF the time of such a namespace counts as not watched. */
  get leftOut(): string[] {
    const isKernelAsked = this.attribution.way === 'ebpf';
    return [
      ...(this.source.name === 'any' ? [] : ['interfaces']),
      ...(this.source.maxNamespaces === 0 && isKernelAsked ? ['namespaces'] : []),
    ];
  }

  get sourceName(): string {
    return this.source.name;
  }

  counters(): StageCounters {
    if (this.final !== null) return this.final.counters;
    return {
      ...this.pipeline.counters(),
      coverage: this.kernelView.counters(),
      namespaces: this.namespaces.counters(performance.now()),
    };
  }

  /** Returns all losses since the start by `stage.counter`, without zeros. */
  losses(): Counters {
    const lost = lossesOf(this.counters());
    const { stalledMs } = this.time;
    if (stalledMs > 0) lost['watch.stalled_ms'] = Math.round(stalledMs);
    return lost;
  }

  /** Returns the present moment. */
  moment(): WatchMoment {
    const bootUs = bootClockUs();
    this.time.advanceTo(bootUs / 1000, this.source.live);
    const monotonicUs = Number(monotonicNs()) / 1_000;
    return { bootUs, wallUs: realClockUs(), monotonicUs, liveMs: this.time.liveMs };
  }

  /** Resolves when every packet and every kernel report until now has been read. */
  async caughtUp(): Promise<void> {
    await this.source.caughtUp();
    // The event loop reads packets before it runs immediates. Only the second round is certain to be a whole
    // one.
    for (let round = 0; round < 2; round++) await new Promise((resolve) => setImmediate(resolve));
    if (this.final !== null) return;
    this.attributor.poll();
  }

  /** Returns the connections since the start, as the kernel and as the capture saw them. */
  coverage(): WatchCoverage {
    return this.final?.coverage ?? this.coverageNow();
  }

  private coverageNow(): WatchCoverage {
    const kernel = this.attribution.way === 'ebpf' ? this.kernelView.counters() : null;
    return {
      kernelConnections: kernel === null ? null : (kernel['kernel_connections'] ?? 0),
      joinedConnections: kernel === null ? null : (kernel['seen'] ?? 0),
      undecidedConnections: kernel === null ? 0 : this.kernelView.undecided,
      seenConnections: this.counters()['conversation']?.['connections'] ?? 0,
      openCalls: this.pipeline.openCalls,
      openSinceUs: earliest(
        this.pipeline.openSinceUs,
        kernel === null ? null : this.kernelView.undecidedSinceUs,
      ),
    };
  }

  private noteRedirected(connection: KernelConnection): boolean {
    const place = this.namespaces.placeOf(connection, performance.now());
    if (place === null) return false;
    const where = { netns: connection.netns, path: place.path };
    const isRedirected = this.pipeline.noteRedirected(connection, where, realClockUs());
    // In a namespace with a way of its own, the translation table alone proves nothing.
    return isRedirected && place.isCovered;
  }

  private tickSoon(): void {
    this.sawPackets = true;
    if (this.isBusy) return;
    this.isBusy = true;
    this.schedule(BUSY_TICK_MS);
  }

  private schedule(delayMs: number): void {
    if (this.timer !== null) clearTimeout(this.timer);
    const timer = setTimeout(() => {
      // The event loop reads packets before it runs immediates. After a pause of this process they come first.
      setImmediate(() => {
        if (this.timer === timer) this.tick();
      });
    }, delayMs);
    this.timer = timer;
  }

  private tick(): void {
    const nowMs = performance.now();
    this.lastTickMs = nowMs;
    this.onMoment(this.moment());
    if (this.sawPackets && nowMs - this.gaveBackMs >= GIVE_BACK_EVERY_MS) {
      this.sawPackets = false;
      this.gaveBackMs = nowMs;
      giveBackFreeMemory();
    }
    this.source.check();
    const nowUs = realClockUs();
    const collects = this.attributor.collectsPackets === true;
    const isWaiting = this.pipeline.tick(collects ? nowUs - COLLECTED_US : nowUs);
    this.isBusy = this.kernelView.tick(nowUs) || isWaiting;
    this.namespaces.tick(nowMs);
    this.schedule(this.isBusy ? BUSY_TICK_MS : IDLE_TICK_MS);
  }
}

function earliest(one: number | null, other: number | null): number | null {
  if (one === null || other === null) return one ?? other;
  return Math.min(one, other);
}
