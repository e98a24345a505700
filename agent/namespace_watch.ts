/**
 * Which network namespaces are looked at besides our own: those whose calls never pass ours get a capture, and those
 * whose sockets only a question asked inside them can name are asked inside.
 */
import type { Logger } from 'pino';
import type { Attributor, KernelConnection } from './attribution/attributor.ts';
import type { HostSource } from './capture/host_source.ts';
import { listNamespaces, namespaceAt, withinNamespace } from './capture/namespace.ts';

/** A list of all namespaces costs a look at every process. */
const LIST_EVERY_MS = 10_000;
const LIST_AT_MOST_EVERY_MS = 200;
/** Namespaces whose sockets are asked for; each question is asked in one after the other. */
const MAX_ASKED = 256;
const OPENED_PER_TICK = 4;
const MAX_TOLD = 1_024;

export class NamespaceWatch {
  private readonly source: HostSource;
  private readonly attributor: Attributor;
  private readonly log: Pick<Logger, 'warn'>;
  /** The kernel does not report connections by itself: new namespaces must be found by looking for them. */
  private readonly mustFind: boolean;
  /** Namespaces that were met, whatever came of it. */
  private readonly met = new Set<number>();
  private readonly asked = new Set<number>();
  /** Namespaces that are to get a capture, by the path to enter them by. */
  private readonly toWatch = new Map<number, string>();
  private readonly told = new Set<number>();
  private listedMs = Number.NEGATIVE_INFINITY;

  constructor(source: HostSource, attributor: Attributor, log: Pick<Logger, 'warn'>) {
    this.source = source;
    this.attributor = attributor;
    this.log = log;
    this.mustFind = attributor.method !== 'ebpf' && source.name === 'any';
  }

  /** The kernel reported a call that no capture saw: from the next one of its namespace on, one does. */
  missed(connection: KernelConnection): void {
    const { netns } = connection;
    if (this.source.isWatched(netns) || !this.source.mayWatchMore) return;
    const pid = connection.owner()?.pid;
    const path = pid === undefined ? undefined : `/proc/${pid}/ns/net`;
    const found = path !== undefined && namespaceAt(path) === netns ? path : listNamespaces().get(netns);
    const trouble =
      found === undefined ? 'nobody is in it any more' : this.source.watchNamespace(netns, found);
    if (trouble !== null && found !== undefined) this.say(netns, trouble);
  }

  /** Ends what looks at namespaces that are gone, and finds new ones where that is ours to do. */
  tick(nowMs: number): void {
    this.openSome();
    if (nowMs - this.listedMs < LIST_EVERY_MS) return;
    if (this.mustFind || this.source.namespaces.length > 0) this.look(nowMs);
  }

  /**
   * A connection began whose socket is in none of the namespaces that are asked: looks for new ones at once. Returns
   * whether there were any, and it is worth asking again.
   */
  findNew(nowMs: number): boolean {
    if (!this.mustFind || nowMs - this.listedMs < LIST_AT_MOST_EVERY_MS) return false;
    return this.look(nowMs);
  }

  private look(nowMs: number): boolean {
    this.listedMs = nowMs;
    const existing = listNamespaces();
    this.source.closeGone(existing);
    for (const netns of this.met) {
      if (existing.has(netns)) continue;
      this.met.delete(netns);
      if (this.asked.delete(netns)) this.attributor.forgetNamespace?.(netns);
    }
    if (!this.mustFind) return false;
    let isNew = false;
    for (const [netns, path] of existing) {
      if (netns === this.source.netns || this.met.has(netns)) continue;
      // Its only process may have ended meanwhile, and another be in it by the next look.
      if (namespaceAt(path) !== netns) continue;
      this.met.add(netns);
      isNew = this.ask(netns, path) || isNew;
      this.toWatch.set(netns, path);
    }
    return isNew;
  }

  /** A capture takes milliseconds to open, and somebody may be waiting for the name of a caller: not all at once. */
  private openSome(): void {
    let opened = 0;
    for (const [netns, path] of this.toWatch) {
      if (opened++ >= OPENED_PER_TICK) return;
      this.toWatch.delete(netns);
      if (!this.source.mayWatchMore) continue;
      const trouble = this.source.watchNamespace(netns, path);
      if (trouble !== null) this.say(netns, trouble);
    }
  }

  private ask(netns: number, path: string): boolean {
    if (this.attributor.watchNamespace === undefined || this.asked.size >= MAX_ASKED) return false;
    try {
      this.attributor.watchNamespace(netns, (action) => withinNamespace(path, action));
      this.asked.add(netns);
      return true;
    } catch (error) {
      if (namespaceAt(path) === netns)
        this.say(netns, `its callers cannot be named: ${(error as Error).message}`);
      else this.met.delete(netns);
      return false;
    }
  }

  /** Once a namespace: what is missed there again and again is counted. */
  private say(netns: number, trouble: string): void {
    if (this.told.has(netns)) return;
    if (this.told.size >= MAX_TOLD) this.told.clear();
    this.told.add(netns);
    this.log.warn(`network namespace ${netns}: ${trouble}; what it calls by a way of its own is not seen`);
  }
}
