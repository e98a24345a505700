/**
 * What the agent shows at its collector's door: its credential once it has one, the enrolment token before. A collector that
 * does not accept the credential (its data was replaced, an admin revoked it) is shown the token, in turn with the
 * credential: a collector that errs for a while must not cost the agent its name.
 */
import type { CredentialFile } from './credential_file.ts';
import type { EnrolmentKey } from './enrolment_key.ts';

export class Pass {
  /** Enrolment token; null for an agent that has a credential or a certificate. */
  readonly #token: string | null;
  readonly #credential: CredentialFile;
  readonly #enrolmentKey: EnrolmentKey;
  /** What the present connection shows. */
  #shown: 'token' | 'credential' | null = null;
  #enrolsAgain = false;
  credentialsRefused = 0;

  constructor(token: string | null, credential: CredentialFile, enrolmentKey: EnrolmentKey) {
    this.#token = token;
    this.#credential = credential;
    this.#enrolmentKey = enrolmentKey;
  }

  /** Headers of the request that opens a connection. */
  headers(): Record<string, string> {
    const credential = this.#credential.get();
    const showsToken = this.#token !== null && (credential === null || this.#enrolsAgain);
    const secret = showsToken ? this.#token : credential;
    this.#shown = secret === null ? null : showsToken ? 'token' : 'credential';
    return secret === null ? {} : { authorization: `Bearer ${secret}` };
  }

  /** Returns what belongs into `hello` beside the token that this connection shows: nothing where it shows no token. */
  claim(): { enrolment_key?: string } {
    return this.#shown === 'token' ? { enrolment_key: this.#enrolmentKey.get() } : {};
  }

  /** For a message to the operator. */
  get shown(): string {
    return this.#shown ?? 'client certificate';
  }

  /** The door stayed closed. True: there is something else to show next. */
  onRefused(): boolean {
    const isCredential = this.#shown === 'credential';
    if (isCredential) this.credentialsRefused += 1;
    this.#enrolsAgain = isCredential && this.#token !== null;
    return this.#enrolsAgain;
  }

  /** The collector gave the agent a credential of its own. */
  take(credential: string): void {
    this.#credential.put(credential);
    this.#enrolsAgain = false;
  }

  get failures(): number {
    return this.#credential.failures;
  }
}
