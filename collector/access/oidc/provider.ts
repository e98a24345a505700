/** The identity provider, by its discovery document (OpenID Connect Discovery 1.0). */
import * as client from 'openid-client';
import type { Claims } from './claims.ts';
import { CALLBACK_PATH, type OidcOptions, SIGNED_OUT_PATH } from './options.ts';
import { ProviderAwayError, providerFetch, REQUEST_TIMEOUT_SECONDS } from './provider_fetch.ts';
import { SignInRefusal } from './refusal.ts';

/** Time until the document is read again, which notices endpoints that have moved. */
const DISCOVERY_MS = 3_600_000;
/** The address of a sign-out is a URL, of which some servers take 8 KB. */
const MAX_HINT_CHARACTERS = 6000;

/** These values bind the answer of the provider to the browser that asked. */
export interface Checks {
  state: string;
  nonce: string;
  /** Verifier of PKCE (RFC 7636). */
  verifier: string;
}

export interface Redeemed {
  claims: Claims;
  idToken: string;
}

export class Provider {
  readonly #options: OidcOptions;
  readonly #now: () => number;
  #known: { metadata: client.ServerMetadata; ms: number } | null = null;
  #asking: Promise<client.ServerMetadata> | null = null;

  constructor(options: OidcOptions, now: () => number) {
    this.#options = options;
    this.#now = now;
  }

  static newChecks(): Checks {
    return {
      state: client.randomState(),
      nonce: client.randomNonce(),
      verifier: client.randomPKCECodeVerifier(),
    };
  }

  /**
   * Reads the discovery document, unless that was done lately. Throws `SignInRefusal`. openid-client keeps the keys of a
   * provider for minutes with the configuration. A new one for each sign-in reads the keys of now: one that the provider
   * has just begun to use counts, and one that it has withdrawn does not.
   */
  async discover(): Promise<client.Configuration> {
    return this.#configured(new client.Configuration(await this.#metadata(), ...this.#client()));
  }

  async #metadata(): Promise<client.ServerMetadata> {
    const known = this.#known;
    if (known !== null && Math.abs(this.#now() - known.ms) < DISCOVERY_MS) return known.metadata;
    this.#asking ??= this.#ask().finally(() => {
      this.#asking = null;
    });
    try {
      return await this.#asking;
    } catch (error) {
      // The endpoints of before most likely still work, and say for themselves if they do not.
      if (known !== null) return known.metadata;
      throw this.#refusalOf(error);
    }
  }

  async #ask(): Promise<client.ServerMetadata> {
    const { issuer } = this.#options;
    const server = new URL(issuer);
    const configuration = await client.discovery(server, ...this.#client(), {
      timeout: REQUEST_TIMEOUT_SECONDS,
      [client.customFetch]: providerFetch,
      execute: this.#isLocal() ? [client.allowInsecureRequests] : [],
    });
    const named = configuration.serverMetadata().issuer;
    // openid-client accepts any tenant of Entra ID for the issuer "common": then every tenant could make up groups.
    if (URL.parse(named)?.href !== server.href) {
      throw new SignInRefusal(
        'invalid_answer',
        `The identity provider at ${issuer} calls itself ${named}. Set oidc_issuer to the address that it calls itself.`,
      );
    }
    const metadata = configuration.serverMetadata();
    this.#known = { metadata, ms: this.#now() };
    return metadata;
  }

  #client(): [clientId: string, metadata: { client_secret: string }, authentication: client.ClientAuth] {
    const { clientId, clientSecret } = this.#options;
    return [clientId, { client_secret: clientSecret }, authentication(clientSecret)];
  }

  #configured(configuration: client.Configuration): client.Configuration {
    configuration.timeout = REQUEST_TIMEOUT_SECONDS;
    configuration[client.customFetch] = providerFetch;
    // The signature of the ID token is checked against the provider's keys.
    client.enableNonRepudiationChecks(configuration);
    if (this.#isLocal()) client.allowInsecureRequests(configuration);
    return configuration;
  }

  /** The settings allow an issuer without TLS on this machine only. */
  #isLocal(): boolean {
    return new URL(this.#options.issuer).protocol === 'http:';
  }

  /** Returns the address at which the person signs in. Throws `SignInRefusal`. */
  async authorizationUrl({ state, nonce, verifier }: Checks): Promise<string> {
    const configuration = await this.discover();
    return client.buildAuthorizationUrl(configuration, {
      redirect_uri: this.#options.publicUrl + CALLBACK_PATH,
      scope: this.#options.scopes.join(' '),
      code_challenge: await client.calculatePKCECodeChallenge(verifier),
      code_challenge_method: 'S256',
      state,
      nonce,
    }).href;
  }

  /**
   * Exchanges the code in the query of the callback for the claims of the person, and checks state, nonce, issuer,
   * audience, times and signature. Throws `SignInRefusal`.
   */
  async redeem(query: string, { state, nonce, verifier }: Checks): Promise<Redeemed> {
    const configuration = await this.discover();
    try {
      const tokens = await client.authorizationCodeGrant(
        configuration,
        new URL(`${this.#options.publicUrl}${CALLBACK_PATH}${query}`),
        { expectedState: state, expectedNonce: nonce, pkceCodeVerifier: verifier, idTokenExpected: true },
      );
      const claims: Claims = { ...tokens.claims()! };
      return {
        claims: await this.#completed(configuration, claims, tokens.access_token),
        idToken: tokens.id_token!,
      };
    } catch (error) {
      throw this.#refusalOf(error);
    }
  }

  /** Adds the claims of the UserInfo endpoint, where many providers have the groups. Those of the ID token win. */
  async #completed(
    configuration: client.Configuration,
    claims: Claims,
    accessToken: string,
  ): Promise<Claims> {
    const [root = ''] = this.#options.groupsClaim.split('.');
    const hasGroups = Object.hasOwn(claims, this.#options.groupsClaim) || Object.hasOwn(claims, root);
    const isOmitted = Object.hasOwn(claims, '_claim_names') || Object.hasOwn(claims, 'hasgroups');
    if (hasGroups || isOmitted || configuration.serverMetadata().userinfo_endpoint === undefined)
      return claims;
    const more = await client.fetchUserInfo(configuration, accessToken, String(claims['sub']));
    return { ...more, ...claims };
  }

  /**
   * Returns the address at which the person also signs out of the provider (OpenID Connect RP-Initiated Logout 1.0).
   * Null where the provider has none, or cannot be asked.
   */
  async endSessionUrl(idToken: string | null): Promise<string | null> {
    const configuration = await this.discover().catch(() => null);
    if (configuration?.serverMetadata().end_session_endpoint === undefined) return null;
    const hint = idToken !== null && idToken.length <= MAX_HINT_CHARACTERS ? { id_token_hint: idToken } : {};
    return client.buildEndSessionUrl(configuration, {
      ...hint,
      post_logout_redirect_uri: this.#options.publicUrl + SIGNED_OUT_PATH,
    }).href;
  }

  #refusalOf(error: unknown): SignInRefusal {
    if (error instanceof SignInRefusal) return error;
    const { issuer } = this.#options;
    const options = { cause: error };
    for (let each: unknown = error; each instanceof Error; each = each.cause) {
      if (!(each instanceof ProviderAwayError)) continue;
      return new SignInRefusal(
        'provider_away',
        `The identity provider ${issuer} cannot be reached now. Try again in a moment. An admin can get in with the link that "imdswatch token sign-in-link" prints on the collector's machine.`,
        options,
      );
    }
    if (error instanceof client.AuthorizationResponseError || error instanceof client.ResponseBodyError) {
      return new SignInRefusal(
        'by_provider',
        `The identity provider ${issuer} refused the sign-in (${codeText(error.error)}).${ADVICE[error.error] ?? ' Its log says more.'}`,
        options,
      );
    }
    return new SignInRefusal(
      'invalid_answer',
      `The answer of the identity provider ${issuer} is not valid. The log of the collector says why.`,
      options,
    );
  }
}

const ADVICE: Readonly<Record<string, string>> = {
  access_denied: ' You, or an admin of the provider, did not allow it.',
  invalid_client: ' An admin of the collector must check oidc_client_id and oidc_client_secret_file.',
  invalid_grant: ' A sign-in works once. Begin again.',
  invalid_scope: ' An admin of the collector must check oidc_scopes.',
};

/** Bounds a text that the provider chose. */
function codeText(code: string): string {
  return code.replace(/[^\x20-\x7e]/g, '?').slice(0, 60);
}

/**
 * Sends the secret in the header, which every provider must accept unless it names other ways (OpenID Connect Discovery
 * 1.0 section 3, token_endpoint_auth_methods_supported).
 */
function authentication(secret: string): client.ClientAuth {
  const basic = client.ClientSecretBasic(secret);
  const post = client.ClientSecretPost(secret);
  return (server, metadata, body, headers) => {
    const methods = server.token_endpoint_auth_methods_supported;
    const chosen = methods === undefined || methods.includes('client_secret_basic') ? basic : post;
    return chosen(server, metadata, body, headers);
  };
}
