/**
 * Knows who owns what now: by the rules that admins set, by those of the settings behind them, and by a catalogue behind both.
 * Rules can be changed by another collector, or by a command on this machine: it looks every two seconds.
 */
import { isDeepStrictEqual } from 'node:util';
import type { Logger } from 'pino';
import { OperatorError } from '../common/operator_error.ts';
import type { Counters } from '../protocol/records.ts';
import type { AdminStore } from './admin/admin_store.ts';
import type { StoredOwnerRules } from './admin/owner_rules.ts';
import type { CatalogueWatch } from './backstage/catalogue_watch.ts';
import type { OwnerCatalogue, OwnerRules, OwnerRulesChange } from './contract/owner.ts';
import { type OwnerRule, ownerRule } from './insight/owner_rules.ts';
import { firstOwners, NO_OWNERS, type Owners, ownersByRules } from './insight/owners.ts';
import { toTimestamp } from './store/time.ts';

const INTERVAL_MS = 2_000;

export interface OwnerWatchOptions {
  admin: Pick<AdminStore, 'ownerRules'>;
  /** Rules of the setting. */
  settingRules: readonly OwnerRule[];
  /** Asked where no rule names an owner. */
  catalogue?: Pick<CatalogueWatch, 'owners' | 'served' | 'look' | 'onChange'> | null;
  log: Logger;
}

export class OwnerWatch {
  readonly #options: OwnerWatchOptions;
  #stored: StoredOwnerRules | null = null;
  #unreadable: string[] = [];
  #owners: Owners;
  #timer: NodeJS.Timeout | null = null;
  #looking: Promise<void> | null = null;
  #failuresInARow = 0;
  #onChange: () => void = () => {};
  readonly #counters = { changes: 0, reads_failed: 0 };

  private constructor(options: OwnerWatchOptions) {
    this.#options = options;
    this.#owners = this.#read().owners;
    options.catalogue?.onChange(() => {
      this.#owners = this.#read().owners;
      this.#onChange();
    });
  }

  /** Reads the rules, and looks for changes from then on. Rejects where the database cannot be read. */
  static async open(options: OwnerWatchOptions): Promise<OwnerWatch> {
    const watch = new OwnerWatch(options);
    watch.#take(await options.admin.ownerRules.read());
    watch.#timer = setInterval(() => void watch.#lookAtRules(), INTERVAL_MS);
    watch.#timer.unref();
    return watch;
  }

  async stop(): Promise<void> {
    if (this.#timer !== null) clearInterval(this.#timer);
    await this.#looking;
  }

  /** Calls `listener` when owners may be others than before. */
  onChange(listener: () => void): void {
    this.#onChange = listener;
  }

  /** Returns who owns what as it is now. */
  owners(): Owners {
    return this.#owners;
  }

  rules(): OwnerRules {
    const { settingRules, catalogue } = this.#options;
    return servedRules(this.#stored, settingRules, catalogue?.served() ?? null);
  }

  /** Replaces the rules that admins set. Throws as `changeOwnerRules` does. */
  async change(
    change: OwnerRulesChange,
    by: { name: string; sourceAddress: string | null },
  ): Promise<OwnerRules> {
    this.#take(await changeOwnerRules(this.#options.admin, change, by));
    return this.rules();
  }

  /** Reads rules and catalogue again. Never rejects: a failure is counted, and both stay as they are known. */
  async look(): Promise<void> {
    await this.#options.catalogue?.look();
    await this.#lookAtRules();
  }

  counters(): Counters {
    return {
      ...this.#counters,
      rules: (this.#stored?.rules.length ?? 0) + this.#options.settingRules.length,
      rules_unreadable: this.#unreadable.length,
    };
  }

  /** The catalogue looks for its own changes. */
  #lookAtRules(): Promise<void> {
    this.#looking ??= this.#readRules().finally(() => {
      this.#looking = null;
    });
    return this.#looking;
  }

  async #readRules(): Promise<void> {
    try {
      const stored = await this.#options.admin.ownerRules.read();
      this.#failuresInARow = 0;
      // A change of this process can have come between the question and its answer.
      if ((stored?.version ?? 0) < (this.#stored?.version ?? 0)) return;
      this.#take(stored);
    } catch (error) {
      this.#counters.reads_failed += 1;
      this.#failuresInARow += 1;
      // The first error is logged, and then ever fewer.
      if (Math.log2(this.#failuresInARow) % 1 !== 0) return;
      this.#options.log.error({ reason: (error as Error).message }, 'the owner rules cannot be read');
    }
  }

  #take(stored: StoredOwnerRules | null): void {
    if (isDeepStrictEqual(stored, this.#stored)) return;
    this.#stored = stored;
    const { owners, unreadable } = this.#read();
    this.#owners = owners;
    this.#unreadable = unreadable;
    if (unreadable.length > 0) {
      this.#options.log.warn(
        { rules: unreadable },
        'owner rules of another release cannot be read, and name no owner here',
      );
    }
    this.#counters.changes += 1;
    this.#onChange();
  }

  #read() {
    const { settingRules, catalogue } = this.#options;
    return ownersOf(settingRules, this.#stored, catalogue?.owners());
  }
}

/**
 * Replaces the rules that admins set. Throws `OperatorError`: 2 for a text that is no rule, 1 where somebody else has changed the
 * rules meanwhile.
 */
export function changeOwnerRules(
  { ownerRules }: Pick<AdminStore, 'ownerRules'>,
  change: OwnerRulesChange,
  by: { name: string; sourceAddress: string | null },
): Promise<StoredOwnerRules> {
  for (const text of change.rules) {
    try {
      ownerRule(text);
    } catch (error) {
      throw new OperatorError(2, (error as Error).message);
    }
  }
  return ownerRules.change(change, by, Date.now());
}

/** Returns the owners by these rules, and the stored texts that are no rules of this release. */
export function ownersOf(
  settingRules: readonly OwnerRule[],
  stored: Pick<StoredOwnerRules, 'rules'> | null,
  ofCatalogue: Owners = NO_OWNERS,
): { owners: Owners; unreadable: string[] } {
  const { rules, unreadable } = readRules(stored?.rules ?? []);
  return {
    owners: firstOwners([
      ownersByRules(rules, 'stored'),
      ownersByRules(settingRules, 'setting'),
      ofCatalogue,
    ]),
    unreadable,
  };
}

/** Describes the rules in the order in which they are asked. */
export function servedRules(
  stored: StoredOwnerRules | null,
  settingRules: readonly OwnerRule[],
  catalogue: OwnerCatalogue | null,
): OwnerRules {
  return {
    version: stored?.version ?? 0,
    rules: stored?.rules ?? [],
    changed: stored === null ? null : toTimestamp(stored.changedMs * 1000),
    changed_by: stored?.changedBy ?? null,
    unreadable: readRules(stored?.rules ?? []).unreadable,
    setting_rules: settingRules.map(({ text }) => text),
    catalogue,
  };
}

function readRules(texts: readonly string[]): { rules: OwnerRule[]; unreadable: string[] } {
  const rules: OwnerRule[] = [];
  const unreadable: string[] = [];
  for (const text of texts) {
    try {
      rules.push(ownerRule(text));
    } catch (error) {
      if (!(error instanceof RangeError)) throw error;
      unreadable.push(text);
    }
  }
  return { rules, unreadable };
}
