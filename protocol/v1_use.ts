/** Tells which calls are a use of IMDSv1: they would fail if tokens were required, and someone would notice. */
import type { Call } from './call.ts';

export interface JudgedFields {
  version: Call['imds.version'];
  category: Call['imds.category'];
  endpoint: Call['imds.endpoint'] | null;
}

/**
 * Returns whether a call is a use of IMDSv1. A request without a token that looks for another cloud is none:
 * EC2's service has nothing for it, with or without tokens. Only the instance metadata service (`ipv4`,
 * `ipv6`) has versions.
 */
export function isV1Use({ version, category, endpoint }: JudgedFields): boolean {
  return version === 1 && category !== 'other-cloud' && (endpoint === 'ipv4' || endpoint === 'ipv6');
}

/** Returns the fields of a call that `isV1Use` needs. */
export function judgedFields(
  call: Pick<Call, 'imds.version' | 'imds.category' | 'imds.endpoint'>,
): JudgedFields {
  return {
    version: call['imds.version'],
    category: call['imds.category'],
    endpoint: call['imds.endpoint'],
  };
}
