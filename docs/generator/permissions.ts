/**
 * States who may do what with which credential. The table in security.md is made from this, and a test tries each claim against a collector
 * (test/unit/collector/access/permissions.test.ts): a claim without its test does not pass there.
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
    may: ['get another credential for that host, which ends the one before'],
    mayNot: ['get one for another host', 'get one after an admin has released the host and it enrolled anew'],
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
  "an admin's token": {
    may: [
      'all that',
      'make and revoke tokens',
      'release a host, so that it can enrol again',
      'set alerts, retention and the figures of the cloud',
    ],
    mayNot: ['read a secret that is stored'],
  },
  'a sign-in link': {
    may: ['become what it was made for, once'],
    mayNot: ['do so after 15 minutes', 'do anything else'],
  },
  'a session of the page': {
    may: ['what its token may, from the page of the collector itself'],
    mayNot: [
      'change something from another page',
      'last longer than 7 days, or 12 hours unused',
      'outlive its token',
    ],
  },
  'a trusted proxy (`proxy_user_header`)': {
    may: ['say who somebody is'],
    mayNot: ['do so from an address that is not in `proxy_trusted_addresses`'],
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
  return table(['who shows', 'may', 'may not'], rows);
}
