/**
 * Lists what each credential permits and forbids. The table in security.md is made from this list. A test
 * tries each claim against a collector (test/unit/collector/access/permissions.test.ts), and fails for a
 * claim that it does not try.
 */
import { table } from './generated_part.ts';

export interface Claims {
  may: readonly string[];
  mayNot: readonly string[];
}

export const PERMISSIONS: Readonly<Record<string, Claims>> = {
  nothing: {
    may: ['ask whether the collector is alive and ready', 'load the page to sign in'],
    mayNot: ['read findings', 'change anything', 'report as a host'],
  },
  'an enrolment token': {
    may: ['enrol a host that has not enrolled, and report as it'],
    mayNot: ['read findings', 'change anything', 'speak for a host that has a credential or a certificate'],
  },
  "an enrolment token, and the enrolment key of the host's agent": {
    may: ['get a new credential for that host, which revokes the former one'],
    mayNot: [
      'get a credential for another host',
      'get a credential after an admin has released the host and it enrolled again',
    ],
  },
  "an agent's credential": {
    may: ['report as its one host'],
    mayNot: ['read findings', 'change anything', 'report as another host'],
  },
  "an agent's client certificate": {
    may: ['report as its one host'],
    mayNot: ['report as another host'],
  },
  "a viewer's token": {
    may: ['read all findings and metrics', 'watch the live feed'],
    mayNot: ['change anything', 'see tokens, alert destinations and the audit log'],
  },
  "a viewer's token with a scope": {
    may: ['read the findings of the hosts of its scope'],
    mayNot: ['change anything', 'see alerts, plans, metrics and anything of other hosts'],
  },
  "an auditor's token": {
    may: ['everything that a viewer may', 'read the audit log'],
    mayNot: ['change anything', 'see tokens and alert destinations'],
  },
  "an admin's token": {
    may: [
      'everything that an auditor may',
      'create and revoke tokens',
      'release a host, so that it can enrol again',
      'set alerts, retention, the triage of offenders and the figures of the cloud',
    ],
    mayNot: ['read a stored secret'],
  },
  'a sign-in link': {
    may: ['sign in once, with the role that it was made for'],
    mayNot: ['sign in after 15 minutes', 'do anything else'],
  },
  'a session of the page': {
    may: ["everything that its token may, from the collector's own page"],
    mayNot: [
      'change anything from another page',
      'last longer than 7 days, or longer than 12 hours without use',
      'outlive its token',
    ],
  },
  'a trusted proxy (`proxy_user_header`)': {
    may: ['name the person that it has signed in'],
    mayNot: ['name a person from an address that is not in `proxy_trusted_addresses`'],
  },
  'the identity provider (`oidc_issuer`)': {
    may: ['name the person that it has signed in, and the groups that decide the role and the scope'],
    mayNot: [
      'let in a person without a group that a setting names',
      'keep a session for longer than `oidc_session_hours`',
      'end tokens and sign-in links, which work while it is away',
    ],
  },
  "write access to the collector's files": {
    may: ['everything'],
    mayNot: [],
  },
};

export function permissionsPart(): string {
  const rows = Object.entries(PERMISSIONS).map(([who, { may, mayNot }]) => [
    who,
    may.join('; '),
    mayNot.join('; '),
  ]);
  return table(['who has', 'may', 'may not'], rows);
}
