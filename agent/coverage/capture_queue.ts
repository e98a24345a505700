/**
 * Opens captures in the network namespaces that need one. A namespace whose interfaces are all veth pairs to our
 * own needs no capture: its packets pass ours. Each other one gets a capture as soon as it is found.
 */
import type { HostSource } from '../capture/host_source.ts';
import { namespaceAt } from '../linux/network_namespaces.ts';
import { OwnLinks } from './namespace_view.ts';
import type { Unfollowed } from './unfollowed.ts';

/**
 * A namespace that needs a capture must still need it after this time. A container engine moves interfaces
 * one after the other, and between two of these steps the namespace of a new container seems to need one.
 */
export const CONFIRM_AFTER_MS = 200;

export type NamespaceSource = Pick<
  HostSource,
  | 'name'
  | 'netns'
  | 'maxNamespaces'
  | 'namespaces'
  | 'isWatched'
  | 'watchNamespace'
  | 'namespacePath'
  | 'closeNamespace'
>;

interface Found {
  /** A path into the namespace. */
  path: string;
  /** The last moment until which nothing was missed in the namespace. */
  sinceMs: number;
  /** The time of the listing that found it; minus infinity if it needs no confirmation. */
  foundMs: number;
}

export class CaptureQueue {
  readonly #source: NamespaceSource;
  readonly #unfollowed: Unfollowed;
  readonly #warn: (netns: number, problem: string | null) => void;
  /** Namespaces that are to get a capture. */
  #waiting = new Map<number, Found>();
  #carried = 0;

  constructor(
    source: NamespaceSource,
    unfollowed: Unfollowed,
    warn: (netns: number, problem: string | null) => void,
  ) {
    this.#source = source;
    this.#unfollowed = unfollowed;
    this.#warn = warn;
  }

  /** Number of namespaces whose packets all pass our own. */
  get carried(): number {
    return this.#carried;
  }

  /**
   * Queues the namespaces that need a capture. `sinceMs` is the time of the listing before; `nowMs` at the
   * first one.
   */
  update(existing: ReadonlyMap<number, string>, nowMs: number, sinceMs: number): void {
    const links = this.ownLinks();
    const before = this.#waiting;
    this.#waiting = new Map();
    this.#carried = 0;
    for (const [netns, path] of existing) {
      if (netns === this.#source.netns) continue;
      // The path may lead elsewhere by now: its process may have ended.
      if (namespaceAt(path) !== netns) continue;
      if (this.#source.isWatched(netns)) continue;
      if (links?.carryAllOf(path) === true) {
        this.#countCarried(netns, nowMs);
        continue;
      }
      const isConfirmed = sinceMs === nowMs || this.#unfollowed.isUnwatched(netns);
      // The namespace may have called since the last listing, when it did not exist or needed no capture.
      const found = before.get(netns) ?? { sinceMs, foundMs: isConfirmed ? Number.NEGATIVE_INFINITY : nowMs };
      this.#waiting.set(netns, { ...found, path });
    }
  }

  /** Opens queued captures, only a few at once: each takes milliseconds, and packets may be waiting. */
  openCaptures(nowMs: number, atMost: number): void {
    let opened = 0;
    let links: OwnLinks | null = null;
    for (const [netns, { path, sinceMs, foundMs }] of this.#waiting) {
      if (opened >= atMost) return;
      if (nowMs - foundMs < CONFIRM_AFTER_MS) continue;
      this.#waiting.delete(netns);
      links ??= this.ownLinks();
      if (links?.carryAllOf(path) === true) {
        this.#countCarried(netns, nowMs);
        continue;
      }
      const outcome = this.#source.watchNamespace(netns, path);
      if (outcome.kind === 'refused') {
        this.#warn(netns, outcome.reason);
        this.#unfollowed.addUnwatched(netns, sinceMs, nowMs);
      } else {
        opened++; // a refusal costs next to nothing, so it does not count
        this.#unfollowed.addUnwatchedTime(netns, sinceMs, nowMs);
        this.#unfollowed.deleteUnwatched(netns, nowMs);
      }
    }
  }

  /** Counts the time of the namespaces that still wait for a capture. */
  close(nowMs: number): void {
    for (const [netns, { sinceMs }] of this.#waiting)
      this.#unfollowed.addUnwatchedTime(netns, sinceMs, nowMs);
    this.#waiting.clear();
  }

  /** Returns our own links; null if the capture is not on all of them, because then they prove nothing. */
  ownLinks(): OwnLinks | null {
    return this.#source.name === 'any' ? OwnLinks.read() : null;
  }

  #countCarried(netns: number, nowMs: number): void {
    this.#carried++;
    this.#unfollowed.deleteUnwatched(netns, nowMs);
  }
}
