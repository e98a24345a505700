/** Attempts to call IMDSv1 when nobody watches. Each ends as the right call, or in a gap of the host's coverage. */
import { SteppedClock } from '../support/collector/stepped_clock.ts';
import { attempts, withEvasionLab } from './evasions/group.ts';
import { namespaceBound } from './evasions/own_way.ts';
import { clockSteps, TIME } from './evasions/time.ts';

withEvasionLab('evasions by time', 'evtime', (lab) => {
  attempts(lab, 'moments in which nobody watches', TIME, () => ({
    env: { IMDSWATCH_MAX_NAMESPACES: namespaceBound(lab()) },
  }));

  let clock: SteppedClock | null = null;
  const theClock = () => {
    clock ??= new SteppedClock(lab().lab.home);
    return clock;
  };
  attempts(lab, 'steps of the clock', clockSteps(theClock), () => ({ env: theClock().env }));
});
