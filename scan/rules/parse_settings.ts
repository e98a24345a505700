/** Reads the words that settings are written with. Pure. */
import { asNumber, asText, type Value } from '../evaluate/value.ts';
import type { Endpoint, Tokens } from './declaration.ts';

export function parseTokens({ data }: Value): Tokens | null {
  const text = asText(data);
  return text === 'required' || text === 'optional' || text === 'no-preference' ? text : null;
}

export function parseEndpoint({ data }: Value): Endpoint | null {
  const text = asText(data);
  return text === 'enabled' || text === 'disabled' || text === 'no-preference' ? text : null;
}

export function parseHopLimit({ data }: Value): number | null {
  const number = asNumber(data);
  return number !== null && Number.isInteger(number) ? number : null;
}

/** Version 1 allows both, version 2 requires tokens (SageMaker, EMR). */
export function parseMinimumVersion({ data }: Value): Tokens | null {
  const text = asText(data);
  return text === '2' ? 'required' : text === '1' ? 'optional' : null;
}

/** `true` disables IMDSv1 (Elastic Beanstalk, eksctl). */
export function parseDisablesV1({ data }: Value): Tokens | null {
  const text = asText(data)?.toLowerCase();
  return text === 'true' ? 'required' : text === 'false' ? 'optional' : null;
}
