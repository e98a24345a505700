/** Names what a verdict cannot rule out, because of the way in which the host was watched. */
import { KERNEL_NOT_ASKED, ONE_INTERFACE, ONE_NAMESPACE } from '../contract/coverage_marks.ts';
import type { Readiness } from '../contract/host.ts';
import type { HostCoverage } from '../store/store.ts';

export function limitsOf(coverage: HostCoverage | null): Readiness['limits'] {
  if (coverage === null || coverage.lastUs === null) return [];
  const has = (mark: string) => (coverage.losses[mark] ?? 0) > 0;
  const isBlind = coverage.kernelConnections === null || has(KERNEL_NOT_ASKED);
  const unseen = isBlind ? 'calls' : 'calls that a program sent as raw packets';
  const limits: Readiness['limits'] = [];
  if (isBlind) {
    limits.push({
      code: 'short_lived_namespaces',
      text: 'The agent ran without eBPF and lists network namespaces only every 10 s. Calls from a namespace that existed for a shorter time and has its own route to the metadata service cannot be ruled out.',
    });
  }
  if (has(ONE_INTERFACE)) {
    limits.push({
      code: 'one_interface',
      text: `The agent captured on one interface only: ${unseen} by another one cannot be ruled out.`,
    });
  }
  if (has(ONE_INTERFACE) || has(ONE_NAMESPACE)) {
    limits.push({
      code: 'one_namespace',
      text: `The agent did not look for other network namespaces: ${unseen} from one with a way of its own cannot be ruled out.`,
    });
  }
  return limits;
}
