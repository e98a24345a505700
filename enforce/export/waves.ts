/** The steps of a plan in the order in which they are to be carried out. Pure. */
import type { Plan, PlanStep } from '../plan.ts';

export function byWave(plan: Plan): { wave: number; steps: PlanStep[] }[] {
  return [...Map.groupBy(plan.steps, ({ wave }) => wave)]
    .map(([wave, steps]) => ({ wave, steps }))
    .sort((a, b) => a.wave - b.wave);
}

/** Sentences that stand at the head of every export. */
export function warnings({ id }: Plan): string[] {
  return [
    `Plan ${id} of imdswatch. Nobody watches these changes: "imdswatch enforce apply" would.`,
    'Wait between the waves until no call without a token is refused. Tokens and credentials live 6 hours.',
    'The way back is "optional", said as such. Leaving an option out changes nothing.',
  ];
}
