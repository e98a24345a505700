/** Tells which calls are a use of IMDSv1: something breaks if tokens are required. */
import type { Call } from './call.ts';

export interface JudgedFields {
  version: Call['imds.version'];
  category: Call['imds.category'];
  endpoint: Call['imds.endpoint'] | null;
  fallback: Call['imds.fallback'];
  answeredBy?: Call['answered_by'];
}

/**
 * Returns whether a call is a use of IMDSv1. A request without a token that looks for another cloud is none:
 * EC2's service has nothing for it, with or without tokens. A read that was refused and that its client then
 * repeated with a token is none: nothing breaks. A call that something on the host answered is none: it never
 * reached the service. Only the instance metadata service (`ipv4`,
 * `ipv6`) has versions.
 */
export function isV1Use({ version, category, endpoint, fallback, answeredBy }: JudgedFields): boolean {
  if (version !== 1 || category === 'other-cloud' || fallback === 'adapted') return false;
  if (answeredBy === 'host') return false;
  return endpoint === 'ipv4' || endpoint === 'ipv6';
}

/**
 * Returns whether a token was refused with 401: it is stale or wrong (EC2 user guide, "Use the Instance
 * Metadata Service to access instance metadata"). A request for a token carries none.
 */
export function isRefusedToken({
  version,
  category,
  status,
}: Pick<JudgedFields, 'version' | 'category'> & { status: number | null }): boolean {
  return version === 2 && status === 401 && category !== 'token';
}

/** Returns the fields of a call that `isV1Use` needs. */
export function judgedFields(
  call: Pick<Call, 'imds.version' | 'imds.category' | 'imds.endpoint' | 'imds.fallback' | 'answered_by'>,
): JudgedFields {
  return {
    version: call['imds.version'],
    category: call['imds.category'],
    endpoint: call['imds.endpoint'],
    fallback: call['imds.fallback'],
    answeredBy: call.answered_by,
  };
}
