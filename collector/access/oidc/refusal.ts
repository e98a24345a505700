/** Reasons why a sign-in by OpenID Connect is refused. */

export const REFUSAL_REASONS = [
  'no_role',
  'groups_omitted',
  'state',
  'by_provider',
  'invalid_answer',
  'provider_away',
  'limited',
] as const;
export type RefusalReason = (typeof REFUSAL_REASONS)[number];

const STATUS: Readonly<Record<RefusalReason, 400 | 403 | 429 | 502 | 503>> = {
  no_role: 403,
  groups_omitted: 403,
  state: 400,
  by_provider: 403,
  invalid_answer: 502,
  provider_away: 503,
  limited: 429,
};

/** The message is for the person who wanted to sign in, and has no secret and nothing of the network inside. */
export class SignInRefusal extends Error {
  readonly reason: RefusalReason;
  readonly status: (typeof STATUS)[RefusalReason];

  constructor(reason: RefusalReason, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'SignInRefusal';
    this.reason = reason;
    this.status = STATUS[reason];
  }
}
