/** What a verdict cannot rule out, because of how a host was watched. */
import { KERNEL_NOT_ASKED } from '../contract/coverage_marks.ts';
import type { Readiness } from '../contract/host.ts';
import type { HostCoverage } from '../store/store.ts';

export function limitsOf(coverage: HostCoverage | null): Readiness['limits'] {
  if (coverage === null || coverage.lastUs === null) return [];
  const isBlind = coverage.kernelConnections === null || (coverage.losses[KERNEL_NOT_ASKED] ?? 0) > 0;
  return isBlind
    ? [
        {
          code: 'short_lived_namespaces',
          text: 'The agent ran without eBPF, and finds network namespaces by listing them every 10 s: calls from one that lived shorter, by a way of its own, cannot be ruled out.',
        },
      ]
    : [];
}
