/** Names what a verdict cannot rule out, because of the way in which the host was watched. */
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
          text: 'The agent ran without eBPF and lists network namespaces only every 10 s. Calls from a namespace that existed for a shorter time and has its own route to the metadata service cannot be ruled out.',
        },
      ]
    : [];
}
