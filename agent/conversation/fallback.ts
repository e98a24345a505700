/**
 * Tells an IMDSv1 read by a client that could do better: its token request just before got no answer (the hop limit
 * is too low for a container) or was refused. Seen alone, such a read looks like any other IMDSv1 read.
 *
 * How SDKs fall back: they wait at least one second for the token, then read without one, and most keep to that for
 * the life of the process (AWS SDKs and Tools Reference Guide, "IMDS credential provider").
 */
import type { Call } from '../../protocol/call.ts';

/** The shortest time-out of any known client is one second; a token that is this late is not awaited any more. */
const TOKEN_PATIENCE_US = 500_000;
const MAX_CALLERS = 4_096;

interface TokenRequest {
  startUs: number;
  state: 'asked' | 'granted' | 'refused' | 'unanswered';
}

export class FallbackWatch {
  /** Per caller, the last token request; least recently used first. */
  private readonly callers = new Map<string, TokenRequest>();

  /** `caller` names one process of one boot. */
  recordTokenRequest(caller: string, startUs: number): void {
    this.callers.delete(caller);
    this.callers.set(caller, { startUs, state: 'asked' });
    if (this.callers.size > MAX_CALLERS) {
      const oldest = this.callers.keys().next();
      if (!oldest.done) this.callers.delete(oldest.value);
    }
  }

  /** `status`: null when no answer came. */
  recordTokenAnswer(caller: string, startUs: number, status: number | null): void {
    const last = this.callers.get(caller);
    // The end of an older request says nothing about a newer one.
    if (last === undefined || last.startUs !== startUs) return;
    last.state = status === null ? 'unanswered' : status < 400 ? 'granted' : 'refused';
  }

  /** Why this caller reads without a token, as far as its token requests tell. */
  fallbackReason(caller: string, readStartUs: number): Call['imds.fallback'] {
    const last = this.callers.get(caller);
    if (last === undefined || last.startUs > readStartUs) return null;
    switch (last.state) {
      case 'refused':
        return 'token_refused';
      case 'unanswered':
        return 'token_unanswered';
      case 'asked':
        return readStartUs - last.startUs >= TOKEN_PATIENCE_US ? 'token_unanswered' : null;
      case 'granted':
        return null;
    }
  }
}
