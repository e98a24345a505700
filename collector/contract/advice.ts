/** Advice for the team that owns an offender. */
import * as z from 'zod';
import { LANGUAGES } from '../../known_clients/step.ts';

/**
 * - `upgrade`: this release speaks IMDSv1 only; a newer one, or a newer release of the program that contains it,
 *   speaks IMDSv2.
 * - `replace`: no release of it speaks IMDSv2.
 * - `hop_limit`: it speaks IMDSv2, and its token requests got no answer (hop limit, a proxy in between):
 *   raise the limit first.
 * - `token_refused`: it speaks IMDSv2, and its token requests were refused.
 * - `configure`: it speaks both; a setting or a later release turns the fallback (or its first, token-less call)
 *   off.
 * - `raw_http`: plain HTTP requests without a token: own code or a script, to be changed.
 * - `rejected`: tokens are required already; it still calls without one and gets 401.
 * - `stale_token`: its reads with a token are refused with 401: the token expired, is wrong or is empty.
 * - `adapts`: it takes a token when a call without one is refused: nothing breaks.
 * - `unblock`: its calls never leave the host.
 * - `unknown`: the process or client is not known, or it is a proxy; the advice says how to find out.
 */
export const adviceKind = z.enum([
  'upgrade',
  'replace',
  'hop_limit',
  'token_refused',
  'configure',
  'raw_http',
  'rejected',
  'stale_token',
  'adapts',
  'unblock',
  'unknown',
  'none',
]);

export const adviceStep = z.object({
  /** One imperative sentence. */
  text: z.string(),
  /** Text to copy: a shell command, or lines of `language`. */
  code: z.string().nullable(),
  language: z.enum(LANGUAGES).nullable(),
});

export const advice = z.object({
  kind: adviceKind,
  /** SDK or tool, such as "AWS SDK for JavaScript v2"; null where it is not known. */
  client: z.string().nullable(),
  /** Releases that were seen in user agents. */
  versions_seen: z.array(z.string()),
  /** First release that speaks IMDSv2. */
  minimum_version: z.string().nullable(),
  /** First release with a setting that turns the IMDSv1 fallback off. */
  fallback_off_since: z.string().nullable(),
  headline: z.string(),
  explanation: z.string(),
  steps: z.array(adviceStep),
  /** Link to the documentation of this advice. */
  source: z.url().nullable(),
});
export type Advice = z.infer<typeof advice>;
export type AdviceKind = z.infer<typeof adviceKind>;
