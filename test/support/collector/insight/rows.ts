/** Rows in the form that a store returns. */
import type { CountedCalls, Identity } from '../../../../collector/store/store.ts';

export const NOON_US = Date.parse('2026-11-22T12:00:00Z') * 1000;

export function calls(changes: Partial<CountedCalls> = {}): CountedCalls {
  return {
    version: 1,
    endpoint: 'ipv4',
    category: 'metadata',
    status: 200,
    outcome: 'answered',
    fallback: null,
    role: null,
    userAgent: null,
    count: 1,
    firstUs: NOON_US - 3_600_000_000,
    lastUs: NOON_US - 3_600_000_000,
    ...changes,
  };
}

export function identity(changes: Partial<Identity> = {}): Identity {
  return {
    id: '0123456789abcdef',
    attributed: true,
    executable: '/opt/app/server',
    name: null,
    script: null,
    user: 'app',
    uid: null,
    image: null,
    unit: null,
    k8sNamespace: null,
    k8sContainer: null,
    hostId: null,
    sourceAddress: null,
    ...changes,
  };
}
