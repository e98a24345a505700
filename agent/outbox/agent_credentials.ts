/**
 * Chooses the credential with which the agent authenticates: its own credential once it has one, the
 * enrolment token before. When a collector refuses the credential (its data was replaced, an admin revoked
 * it), the token and the credential are tried in turn: a collector that fails for a while must not cost the
 * agent its identity.
 */
import type { CredentialFile } from './credential_file.ts';
import type { EnrolmentKey } from './enrolment_key.ts';

export class AgentCredentials {
  /** Enrolment token; null for an agent that has a credential or a certificate. */
  readonly #token: string | null;
  readonly #credential: CredentialFile;
  readonly #enrolmentKey: EnrolmentKey;
  /** The kind of secret that the present connection sends. */
  #sentKind: 'token' | 'credential' | null = null;
  #enrolsAgain = false;
  credentialsRefused = 0;

  constructor(token: string | null, credential: CredentialFile, enrolmentKey: EnrolmentKey) {
    this.#token = token;
    this.#credential = credential;
    this.#enrolmentKey = enrolmentKey;
  }

  /** Chooses the secret of the next connection. Returns the headers of the request that opens it. */
  requestHeaders(): Record<string, string> {
    const credential = this.#credential.get();
    const sendsToken = this.#token !== null && (credential === null || this.#enrolsAgain);
    const secret = sendsToken ? this.#token : credential;
    this.#sentKind = secret === null ? null : sendsToken ? 'token' : 'credential';
    return secret === null ? {} : { authorization: `Bearer ${secret}` };
  }

  /**
   * Returns the fields of `hello` that belong to the token of this connection: none when it sends no token.
   */
  helloFields(): { enrolment_key?: string } {
    return this.#sentKind === 'token' ? { enrolment_key: this.#enrolmentKey.get() } : {};
  }

  /** Name of the kind of secret that this connection sends, for a message to the operator. */
  get sentKind(): string {
    return this.#sentKind ?? 'client certificate';
  }

  /**
   * Takes note that the collector refused this connection's secret. Returns true if another one can be tried.
   */
  tryNextAfterRefusal(): boolean {
    const isCredential = this.#sentKind === 'credential';
    if (isCredential) this.credentialsRefused += 1;
    this.#enrolsAgain = isCredential && this.#token !== null;
    return this.#enrolsAgain;
  }

  /** Stores the credential that the collector issued to this agent. */
  storeCredential(credential: string): void {
    this.#credential.put(credential);
    this.#enrolsAgain = false;
  }

  /** Number of failed reads and writes of the credential's file. */
  get failures(): number {
    return this.#credential.failures;
  }
}
