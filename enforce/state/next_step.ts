/** Says what a person does next about a plan that no process carries out. Pure. */
import type { Plan } from '../plan.ts';
import { Progress } from './progress.ts';
import { isFinal, isSettledWell, type PlanState, type StepState } from './step_state.ts';

/** Returns the next step; null where everything is confirmed, so that nothing is left to do in this plan. */
export function nextActionText(plan: Plan, state: PlanState): string | null {
  if (state.phase === 'new') {
    return (
      `Next: "imdswatch enforce check ${plan.id}" asks every guard now. ` +
      `"imdswatch enforce apply ${plan.id} --yes" carries the plan out.`
    );
  }
  const progress = new Progress(plan, state);
  const own = (id: string): StepState => state.steps[id]!;
  const isOpen = plan.steps.some((step) => !isFinal(own(step.id)) && !progress.isShut(step));
  const over = plan.steps.filter(({ id }) => isFinal(own(id)) && !isSettledWell(own(id)));
  const texts = [
    ...(isOpen ? [`To go on: imdswatch enforce resume ${plan.id}`] : []),
    ...(over.length === 0
      ? []
      : [
          overText(
            plan,
            over.map(({ id }) => own(id)),
          ),
        ]),
  ];
  return texts.length === 0 ? null : texts.join('\n');
}

/** This plan tries none of these steps again. */
function overText({ id }: Plan, over: readonly StepState[]): string {
  const count = over.length === 1 ? '1 step has' : `${over.length} steps have`;
  const stuck = over.some(({ isStuck }) => isStuck)
    ? ` A roll-back has failed, so tokens are still required there. Try it again: imdswatch enforce rollback ${id}`
    : '';
  return (
    `${count} ended without being confirmed. This plan does not try ${over.length === 1 ? 'it' : 'them'} again, ` +
    `and goes no further in ${over.length === 1 ? 'its group' : 'their groups'}. Remove the reason, then make a new plan.${stuck}`
  );
}
