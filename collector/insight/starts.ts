/**
 * Tells whether a start of a host was seen. What runs at boot only (cloud-init, `rc.local`, units that run
 * once) shows itself at no other time: github-aws-runners/terraform-aws-github-runner#1373, aws/containers-roadmap#670.
 */
import type { Window } from '../contract/window.ts';
import type { HostCoverage } from '../store/store.ts';
import { missingOf } from './coverage_gaps.ts';

/**
 * Returns whether the host started within the window and was watched while it did. The boot of the first report
 * of all time does not count, because the agent may have been installed on a host that ran already. Nor does
 * a boot of which more than `toleranceUs` passed before the agent watched.
 */
export function isStartSeen(coverage: HostCoverage | null, window: Window, toleranceUs: number): boolean {
  const firstUs = coverage?.firstUs ?? null;
  if (coverage === null || firstUs === null) return false;
  const unwatched = coverage.gaps.filter(({ reason }) => reason === 'boot');
  return coverage.boots.some((boot) => {
    if (boot.firstUs < window.sinceUs || boot.firstUs <= firstUs) return false;
    const before = unwatched.filter(({ startUs, endUs }) => startUs <= boot.firstUs && endUs >= boot.firstUs);
    return before.reduce((sum, gap) => sum + missingOf(gap), 0) <= toleranceUs;
  });
}
