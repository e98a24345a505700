/** A place that calls IMDSv1, as the detectors return it. All positions are indices of a text. */
import type { Language } from '../../known_clients/step.ts';

/**
 * `request`: the code makes the request. `address`: the URL is there, and what uses it was not recognised.
 * `client`: a client or an option whose calls never have a token. `unchecked_token`: the token is sent, and nothing
 * ends the script when there is none.
 */
export type CallSiteKind = 'request' | 'address' | 'client' | 'unchecked_token';

export interface CallSite {
  kind: CallSiteKind;
  /** The URL, or the name of the client. */
  start: number;
  end: number;
  /** The command or statement. */
  scopeStart: number;
  scopeEnd: number;
  /** The function or program that makes the call, as it is written: `curl`, `requests.get`. Null where it was not recognised. */
  by: string | null;
  /** Language of the code that repairs it; null where the table has no code for it. */
  language: Language | null;
  /** Id in the client table, for `client`. */
  clientId?: string;
  /** Sentence that says why there is never a token, for `client`. */
  why?: string;
}
