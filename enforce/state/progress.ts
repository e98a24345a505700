/** Progress of the groups of a plan: which wave is open, and how many instances are unconfirmed. Pure. */
import type { Plan, PlanStep } from '../plan.ts';
import { isAtRisk, isFinal, isSettledWell, type PlanState, requiresTokens } from './step_state.ts';

interface Scope {
  /** The lowest wave with a step that is not settled well. */
  openWave: number;
  /** The lowest wave with a step that has ended badly: later waves are never reached. */
  badWave: number;
  atRisk: number;
}

export class Progress {
  readonly #state: PlanState;
  readonly #scopes = new Map<string, Scope>();

  constructor(plan: Plan, state: PlanState) {
    this.#state = state;
    for (const step of plan.steps) {
      const own = state.steps[step.id]!;
      for (const key of [step.group, placeOf(step)]) {
        const scope = this.#scope(key);
        if (!isSettledWell(own)) scope.openWave = Math.min(scope.openWave, step.wave);
        if (isFinal(own) && !isSettledWell(own)) scope.badWave = Math.min(scope.badWave, step.wave);
        if (isInstanceChange(step) && isAtRisk(own)) scope.atRisk += 1;
      }
    }
  }

  /** Returns whether the step's wave is open and its group has room. `allowed`: see `allowedAtRisk`. */
  mayGoForward(step: PlanStep, allowed: number): boolean {
    const { status } = this.#state.steps[step.id]!;
    if (status !== 'planned' && status !== 'waiting' && status !== 'checked') return false;
    if (scopesOf(step).some((key) => this.#scope(key).openWave < step.wave)) return false;
    return !isInstanceChange(step) || this.atRisk(step.group) < allowed;
  }

  /** Returns whether a step before this one has ended badly, so that this one is never reached. */
  isShut(step: PlanStep): boolean {
    return scopesOf(step).some((key) => this.#scope(key).badWave < step.wave);
  }

  /** Returns how many instances of the group were changed and are not confirmed. */
  atRisk(group: string): number {
    return this.#scope(group).atRisk;
  }

  #scope(key: string): Scope {
    let scope = this.#scopes.get(key);
    if (scope === undefined) {
      scope = { openWave: Number.POSITIVE_INFINITY, badWave: Number.POSITIVE_INFINITY, atRisk: 0 };
      this.#scopes.set(key, scope);
    }
    return scope;
  }
}

/** Returns the groups whose lower waves come before the step. An account's default comes after everything there. */
function scopesOf(step: PlanStep): string[] {
  if (step.target.type === 'account_default') return [placeOf(step)];
  return step.target.type === 'template' ? [step.group, ...step.target.groups] : [step.group];
}

function placeOf({ target }: PlanStep): string {
  return `place:${target.account}/${target.region}`;
}

/** A raised hop limit breaks nobody, so it uses up no share. */
function isInstanceChange(step: PlanStep): boolean {
  return step.target.type === 'instance' && requiresTokens(step);
}
