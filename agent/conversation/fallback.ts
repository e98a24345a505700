/**
 * Recognises fallbacks: IMDSv1 reads of a client that supports tokens, but whose token request got no answer
 * (the hop limit is too low for a container) or was refused. Seen alone, such a read looks like any other
 * IMDSv1 read.
 *
 * SDKs wait at least one second for the token, then read without one. Most continue without tokens for the
 * life of the process (AWS SDKs and Tools Reference Guide, "IMDS credential provider").
 */
import { deleteOldestEntries } from '../../common/bounded_map.ts';
import type { Call } from '../../protocol/call.ts';

/** After this time a token is late. The shortest time-out of any known client is one second. */
const TOKEN_PATIENCE_US = 500_000;
const MAX_CALLERS = 4_096;

interface TokenRequest {
  startUs: number;
  state: 'sent' | 'granted' | 'refused' | 'unanswered';
}

export class FallbackWatch {
  /** The last token request of each caller, least recently used first. */
  private readonly callers = new Map<string, TokenRequest>();

  /** Records that a caller sent a token request. `caller` names one process of one boot. */
  recordTokenRequest(caller: string, startUs: number): void {
    this.callers.delete(caller);
    this.callers.set(caller, { startUs, state: 'sent' });
    deleteOldestEntries(this.callers, MAX_CALLERS);
  }

  /** Records how a token request ended. `status` is null if no answer came. */
  recordTokenAnswer(caller: string, startUs: number, status: number | null): void {
    const last = this.callers.get(caller);
    // The end of an older request proves nothing about a newer one.
    if (last === undefined || last.startUs !== startUs) return;
    last.state = status === null ? 'unanswered' : status < 400 ? 'granted' : 'refused';
  }

  /** Returns why this caller reads without a token, as far as its token requests show; else null. */
  fallbackReason(caller: string, readStartUs: number): Call['imds.fallback'] {
    const last = this.callers.get(caller);
    if (last === undefined || last.startUs > readStartUs) return null;
    switch (last.state) {
      case 'refused':
        return 'token_refused';
      case 'unanswered':
        return 'token_unanswered';
      case 'sent':
        return readStartUs - last.startUs >= TOKEN_PATIENCE_US ? 'token_unanswered' : null;
      case 'granted':
        return null;
    }
  }
}
