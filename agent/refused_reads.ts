/** Holds calls that were refused with 401 until it is known whether their client adapted. */
import type { Call } from '../protocol/call.ts';
import { AdaptationWatch } from './conversation/adaptation.ts';
import type { ClientKey } from './conversation/fallback.ts';

/** The part of a call that decides. */
type JudgedCall = Pick<
  Call,
  'imds.version' | 'imds.kind' | 'imds.category' | 'imds.fallback' | 'url.path' | 'http.response.status_code'
>;

export class RefusedReads {
  readonly #adaptation = new AdaptationWatch();
  readonly #beginWait: (startUs: number) => () => void;

  /** `beginWait` notes that a call is open, and returns a function that ends that. */
  constructor(beginWait: (startUs: number) => () => void) {
    this.#beginWait = beginWait;
  }

  /**
   * Emits a call at once, or a refused read when it is known what came next. `client` has the keys of the client. A call of
   * an unknown process has none and is never held, because nobody could tell what came next.
   */
  judge<T extends JudgedCall>(
    call: T,
    client: readonly ClientKey[],
    startUs: number,
    emit: (call: T) => void,
  ): void {
    const { 'url.path': path, 'http.response.status_code': status } = call;
    if (client.length === 0 || path === null || status === null || call['imds.version'] === null) {
      emit(call);
      return;
    }
    const keys = client.map(({ key }) => key);
    const isRead = call['imds.kind'] === 'read' && call['imds.category'] !== 'other-cloud';
    if (isRead && status === 401) {
      const endWait = this.#beginWait(startUs);
      const report = (adapted: boolean) => {
        endWait();
        emit(adapted ? { ...call, 'imds.fallback': 'adapted' } : call);
      };
      this.#adaptation.hold({ keys, path, startUs, report });
      return;
    }
    // A 404 is no refusal: the service looked, and there is nothing at this path.
    const isServed = status < 400 || status === 404;
    if (call['imds.kind'] === 'token' && status < 400) this.#adaptation.recordToken(keys, startUs);
    else if (isRead && isServed && call['imds.version'] === 2) {
      this.#adaptation.recordTokenRead({ keys, path, startUs });
    } else if (isRead && isServed) this.#adaptation.recordTokenlessRead(keys, startUs);
    emit(call);
  }

  /** See `AdaptationWatch.tick`. */
  tick(nowUs: number): boolean {
    return this.#adaptation.tick(nowUs);
  }

  /** Emits the calls that wait, as refused. */
  finish(): void {
    this.#adaptation.finish();
  }
}
