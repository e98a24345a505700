/**
 * Views are what people see of the fleet: all of it, or the hosts of a scope. A route gets findings from a view only, and a view
 * only for the scope of whoever asks. Kept answers belong to one view, so that no scope gets those of another one.
 */
import type { Context } from 'hono';
import type { Counters } from '../../protocol/records.ts';
import type { Sight } from '../contract/host_scope.ts';
import type { ApiEnv } from './env.ts';
import type { View, ViewsOfPeople } from './parts.ts';

/** Views with a scope that are kept. The one that was used longest ago is made anew when it is asked for again. */
const MAX_KEPT = 32;

export class Views implements ViewsOfPeople {
  readonly #make: (sight: Sight) => View;
  readonly #fleet: View;
  /** By their scopes, the one that was used longest ago first. */
  readonly #scoped = new Map<string, View>();

  constructor(make: (sight: Sight) => View) {
    this.#make = make;
    this.#fleet = make(null);
  }

  of(sight: Sight): View {
    if (sight === null) return this.#fleet;
    const key = JSON.stringify(sight);
    const view = this.#scoped.get(key) ?? this.#make(sight);
    this.#scoped.delete(key);
    this.#scoped.set(key, view);
    const [oldest] = this.#scoped.keys();
    if (this.#scoped.size > MAX_KEPT) this.#scoped.delete(oldest!);
    return view;
  }

  /** Returns what the person behind a request sees. Must be called behind `authorize`, which guarantees a principal. */
  for(c: Context<ApiEnv>): View {
    return this.of(c.get('principal')!.scope);
  }

  /** Forgets the kept answers of everybody after a change by a person. */
  forget(): void {
    for (const { insight } of [this.#fleet, ...this.#scoped.values()]) insight.forget();
  }

  counters(): Counters {
    const all = [this.#fleet, ...this.#scoped.values()].map(({ insight }) => insight.counters());
    return Object.fromEntries(
      Object.keys(all[0]!).map((name) => [name, all.reduce((sum, each) => sum + (each[name] ?? 0), 0)]),
    );
  }
}
