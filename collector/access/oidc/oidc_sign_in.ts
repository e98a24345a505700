/** Signs people in by OpenID Connect: authorization code with PKCE, state and nonce. */
import type { Logger } from 'pino';
import { TokenBuckets } from '../../../common/token_bucket.ts';
import type { Counters } from '../../../protocol/records.ts';
import type { Access } from '../access.ts';
import { networkOf } from '../client_network.ts';
import { grantOf, groupsText } from '../group_roles.ts';
import type { Grant } from '../principal.ts';
import { type OwnCookie, ownCookie } from '../session_cookie.ts';
import type { SignedIn } from '../session_opener.ts';
import { type Claims, groupsOf, nameOf, subjectOf } from './claims.ts';
import type { OidcOptions } from './options.ts';
import { type Checks, Provider } from './provider.ts';
import { REFUSAL_REASONS, type RefusalReason, SignInRefusal } from './refusal.ts';
import { returnPath } from './return_path.ts';
import { Seal } from './seal.ts';

/** A person must have signed in at the provider within this time. */
const FLOW_SECONDS = 600;
/** Answers that one network may bring before the provider is asked no more. Those that end in a session do not count. */
const FAILED_PER_NETWORK_PER_MINUTE = 30;
const MAX_COUNTED = 4096;
/** Refusals for the same reason are logged as a warning this often, and the others at the level debug. */
const REFUSAL_LOG_INTERVAL_MS = 10_000;
/** Reasons that an admin must hear of, and which are not for the person to mend. */
const LOGGED_ALWAYS: ReadonlySet<RefusalReason> = new Set(['no_role', 'groups_omitted']);

/** The browser keeps this, sealed, while the person is at the provider. */
interface Flow extends Checks {
  returnPath: string;
  expiresMs: number;
}

export interface Finished {
  signedIn: SignedIn;
  /** Path of our own page. */
  returnPath: string;
}

export class OidcSignIn {
  readonly #options: OidcOptions;
  readonly #access: Pick<Access, 'openSession'>;
  readonly #log: Logger;
  readonly #now: () => number;
  readonly #provider: Provider;
  readonly #flowSeal: Seal;
  readonly #tokenSeal: Seal;
  readonly #cookie: OwnCookie;
  readonly #failed: TokenBuckets;
  readonly #refusals = new Map<RefusalReason, number>(REFUSAL_REASONS.map((reason) => [reason, 0]));
  #signIns = 0;
  /** When each reason was last logged as a warning. */
  readonly #warnedMs = new Map<RefusalReason, number>();

  constructor(
    options: OidcOptions,
    { access, log, now = Date.now }: { access: Pick<Access, 'openSession'>; log: Logger; now?: () => number },
  ) {
    this.#options = options;
    this.#access = access;
    this.#log = log;
    this.#now = now;
    this.#provider = new Provider(options, now);
    this.#flowSeal = new Seal(options, 'flow');
    this.#tokenSeal = new Seal(options, 'id token');
    this.#cookie = ownCookie('imdswatch-oidc', options.secure, 'Lax');
    const perSecond = FAILED_PER_NETWORK_PER_MINUTE / 60;
    this.#failed = new TokenBuckets({ perSecond, burst: FAILED_PER_NETWORK_PER_MINUTE }, MAX_COUNTED, now);
  }

  /** Name of the provider on the page. */
  get name(): string {
    return this.#options.name;
  }

  /** Asks the provider for its endpoints, so that a mistake is in the log at the start. Never rejects. */
  async announce(): Promise<void> {
    const { issuer } = this.#options;
    try {
      await this.#provider.discover();
      this.#log.info({ issuer }, 'people can sign in by OpenID Connect');
    } catch (error) {
      this.#log.warn(
        { issuer, reason: causeText(error) },
        'nobody can sign in by OpenID Connect now; tokens and sign-in links work, and the provider is asked again at each sign-in',
      );
    }
  }

  /** Returns where to send the browser, and the cookie for it. Throws `SignInRefusal`. */
  async begin(wantedPath: string | undefined): Promise<{ location: string; cookie: string }> {
    try {
      const checks = Provider.newChecks();
      const location = await this.#provider.authorizationUrl(checks);
      const expiresMs = this.#now() + FLOW_SECONDS * 1000;
      const flow: Flow = { ...checks, returnPath: returnPath(wantedPath), expiresMs };
      return { location, cookie: this.#cookie.set(this.#flowSeal.seal(JSON.stringify(flow)), FLOW_SECONDS) };
    } catch (error) {
      throw this.#refused(error, null);
    }
  }

  /**
   * Ends a sign-in. `query` is the query that the provider gave the browser, `cookies` the browser's own header.
   * Throws `SignInRefusal`.
   */
  async finish(query: string, cookies: string | undefined, remoteAddress: string | null): Promise<Finished> {
    try {
      return await this.#finish(query, cookies, remoteAddress);
    } catch (error) {
      throw this.#refused(error, remoteAddress);
    }
  }

  async #finish(query: string, cookies: string | undefined, remoteAddress: string | null): Promise<Finished> {
    const flow = this.#flowOf(cookies);
    const states = new URLSearchParams(query).getAll('state');
    if (flow === null || states.length !== 1 || states[0] !== flow.state) {
      throw new SignInRefusal(
        'state',
        'This answer of the identity provider does not belong to a sign-in that this browser began within the last 10 minutes. Begin again.',
      );
    }
    const network = networkOf(remoteAddress);
    if (this.#failed.tryTake(network) > 0) throw tooMany();
    const { claims, idToken } = await this.#provider.redeem(query, flow);
    const grant = this.#grantOf(claims);
    const { issuer, clientId, sessionMs } = this.#options;
    const signedIn = await this.#access.openSession(
      {
        person: JSON.stringify([issuer, clientId, claims['sub']]),
        name: nameOf(claims),
        grant,
        idToken: this.#tokenSeal.seal(idToken),
        detail: `subject ${subjectOf(claims)} of ${issuer}`,
        maxMs: sessionMs,
      },
      remoteAddress,
    );
    if ('retryAfterSeconds' in signedIn) throw tooMany();
    this.#failed.giveBackOne(network);
    this.#signIns += 1;
    return { signedIn, returnPath: flow.returnPath };
  }

  #flowOf(cookies: string | undefined): Flow | null {
    const cookie = this.#cookie.read(cookies);
    const text = cookie === null ? null : this.#flowSeal.open(cookie);
    if (text === null) return null;
    const flow = JSON.parse(text) as Flow;
    return flow.expiresMs > this.#now() ? flow : null;
  }

  #grantOf(claims: Claims): Grant {
    const { groupsClaim: claim, name: provider, groups: roles } = this.#options;
    const found = groupsOf(claims, claim);
    const known = `You have no role here. ${provider} signed you in as ${nameOf(claims)}`;
    if (found === 'omitted') {
      throw new SignInRefusal(
        'groups_omitted',
        `${known}, and left out the claim "${claim}", because you are in more groups than it puts into a token. An admin of the provider either makes app roles and sets oidc_groups_claim to roles, or restricts the claim to the groups that are assigned to this application.`,
      );
    }
    if (found === 'missing') {
      throw new SignInRefusal(
        'no_role',
        `${known}, and its answer has no claim "${claim}". An admin of the provider adds the claim, or an admin of the collector names another one in oidc_groups_claim, or a scope that brings it in oidc_scopes.`,
      );
    }
    const grant = grantOf(found.groups, roles);
    if (grant !== null) return grant;
    throw new SignInRefusal(
      'no_role',
      `${known}, and the claim "${claim}" named ${groupsText(found.groups)}. An admin of the collector gives a group a role by oidc_admin_groups, oidc_auditor_groups, oidc_viewer_groups or oidc_scoped_groups.`,
    );
  }

  /** Returns the value of `Set-Cookie` that ends a sign-in which was begun. */
  clearCookie(): string {
    return this.#cookie.clear();
  }

  /**
   * Returns where a person signs out of the provider too, null where that cannot be done. `sealed` is what `finish` stored
   * with the session.
   */
  endSessionUrl(sealed: string): Promise<string | null> {
    // After a change of the secret of the client it cannot be opened, and the provider asks the person.
    return this.#provider.endSessionUrl(this.#tokenSeal.open(sealed));
  }

  #refused(error: unknown, remoteAddress: string | null): unknown {
    if (!(error instanceof SignInRefusal)) return error;
    const { reason } = error;
    this.#refusals.set(reason, this.#refusals.get(reason)! + 1);
    const now = performance.now();
    const sinceMs = now - (this.#warnedMs.get(reason) ?? Number.NEGATIVE_INFINITY);
    const isWarned = LOGGED_ALWAYS.has(reason) || sinceMs >= REFUSAL_LOG_INTERVAL_MS;
    if (isWarned) this.#warnedMs.set(reason, now);
    this.#log[isWarned ? 'warn' : 'debug'](
      { from: remoteAddress, reason, cause: causeText(error) },
      'refused a sign-in by OpenID Connect',
    );
    return error;
  }

  counters(): Counters {
    return {
      oidc_sign_ins: this.#signIns,
      ...Object.fromEntries([...this.#refusals].map(([reason, count]) => [`oidc_refused_${reason}`, count])),
    };
  }
}

function tooMany(): SignInRefusal {
  return new SignInRefusal('limited', 'Too many sign-ins. Try again in a minute.');
}

/** Says what happened, without the answers that openid-client keeps beside its messages: those may have tokens. */
function causeText(error: unknown): string {
  const texts: string[] = [];
  for (let each: unknown = error; each instanceof Error; each = each.cause) {
    // The message of the JSON parser quotes the answer around the mistake, which can be a part of a token.
    texts.push(each instanceof SyntaxError ? 'the answer is not valid JSON' : each.message);
  }
  return texts.join(': ').slice(0, 1000);
}
