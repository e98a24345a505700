/** The settings of the collector for signing in by OpenID Connect. */
import { readFileSync } from 'node:fs';
import * as z from 'zod';
import { isLoopback } from '../common/host_address.ts';
import { OperatorError } from '../common/operator_error.ts';
import { readScopedGroup } from './access/group_roles.ts';
import type { OidcOptions } from './access/oidc/options.ts';
import { groupNames, SCOPED_GROUPS_TEXT, scopedGroups } from './access_settings.ts';

const MIN_SECRET_CHARACTERS = 16;

export const oidcShape = {
  oidc_issuer: z
    .url({ protocol: /^https?$/, error: 'must be a URL, such as https://login.example.com' })
    .optional()
    .describe(
      'Address of the OpenID Connect provider at which people sign in, as it calls itself in "issuer" of its /.well-known/openid-configuration. Needs public_url. See docs/operate.md.',
    ),
  oidc_client_id: z.string().min(1).max(500).optional().describe('Id of imdswatch at that provider.'),
  oidc_client_secret_file: z
    .string()
    .min(1)
    .optional()
    .describe('File that contains the secret of that client and nothing else.'),
  oidc_scopes: z
    .array(z.string().regex(/^[\x21\x23-\x5b\x5d-\x7e]+$/, 'must be names of scopes, such as openid'))
    .default(['openid', 'profile', 'email'])
    .describe('Scopes that are asked for, separated by commas. Some providers need one more for the groups.'),
  oidc_groups_claim: z
    .string()
    .min(1)
    .max(200)
    .default('groups')
    .describe(
      'Claim with the groups of a person, in the ID token or from the UserInfo endpoint. A dot leads into a claim, as in realm_access.roles. Entra ID: roles or groups. Google: email.',
    ),
  oidc_admin_groups: groupNames.describe('Groups in that claim whose members are admins.'),
  oidc_auditor_groups: groupNames.describe('Groups in that claim whose members are auditors.'),
  oidc_viewer_groups: groupNames.describe(
    'Groups in that claim whose members are viewers of the whole fleet.',
  ),
  oidc_scoped_groups: scopedGroups.describe(SCOPED_GROUPS_TEXT),
  oidc_session_hours: z
    .number()
    .min(0.1)
    .max(168)
    .default(12)
    .describe(
      'Hours after which a person signs in at the provider again. Until then a group that was taken away still counts.',
    ),
  oidc_name: z
    .string()
    .min(1)
    .max(60)
    .default('OpenID Connect')
    .describe('Name of the provider on the button of the page.'),
};

export type OidcSettings = z.infer<z.ZodObject<typeof oidcShape>>;
type WithAddress = OidcSettings & { public_url?: string | undefined };

interface Checked {
  issuer: string;
  clientId: string;
  secretFile: string;
  publicUrl: string;
}

/**
 * Returns null where nobody signs in by OpenID Connect. Throws `OperatorError` (exit code 2) where a setting is missing or
 * would let others read along. It reads no file.
 */
export function checkOidcSettings(settings: WithAddress): Checked | null {
  const issuer = settings.oidc_issuer;
  const secretFile = settings.oidc_client_secret_file;
  const roles = (['admin', 'auditor', 'viewer', 'scoped'] as const).map(
    (each) => `oidc_${each}_groups` as const,
  );
  const given = roles.find((each) => settings[each].length > 0);
  if (issuer === undefined) {
    const others = ['oidc_client_id', 'oidc_client_secret_file'] as const;
    const lonely = others.find((each) => settings[each] !== undefined) ?? given;
    if (lonely === undefined) return null;
    return refuse(`${lonely} needs oidc_issuer: set the address of the provider.`);
  }
  const clientId = settings.oidc_client_id;
  if (clientId === undefined || secretFile === undefined) {
    return refuse(
      'oidc_issuer needs oidc_client_id and oidc_client_secret_file: set both, as the provider gave them.',
    );
  }
  if (given === undefined) {
    return refuse(
      `oidc_issuer needs a group that has a role, or nobody could get in: set one of ${roles.join(', ')}.`,
    );
  }
  if (!settings.oidc_scopes.includes('openid')) {
    return refuse(
      'oidc_scopes needs "openid" among its scopes: without it a provider does not say who signed in.',
    );
  }
  checkAddress('oidc_issuer', issuer);
  const { public_url: publicUrl } = settings;
  if (publicUrl === undefined) {
    return refuse(
      'oidc_issuer needs public_url: the provider sends people back to that address of the page.',
    );
  }
  checkAddress('public_url', publicUrl);
  const { pathname, search, hash } = new URL(publicUrl);
  if (pathname !== '/' || search !== '' || hash !== '') {
    return refuse(
      `public_url is ${publicUrl}: with oidc_issuer it must be a host without a path, such as https://imdswatch.example.com.`,
    );
  }
  return { issuer, clientId, secretFile, publicUrl };
}

/** Returns null where nobody signs in by OpenID Connect. Throws `OperatorError` (exit code 2). */
export function oidcOptions(settings: WithAddress): OidcOptions | null {
  const checked = checkOidcSettings(settings);
  if (checked === null) return null;
  const { issuer, clientId, secretFile, publicUrl } = checked;
  return {
    issuer,
    clientId,
    clientSecret: readSecret(secretFile),
    scopes: settings.oidc_scopes,
    groupsClaim: settings.oidc_groups_claim,
    groups: {
      admins: settings.oidc_admin_groups,
      auditors: settings.oidc_auditor_groups,
      viewers: settings.oidc_viewer_groups,
      scoped: settings.oidc_scoped_groups.map(readScopedGroup),
    },
    name: settings.oidc_name,
    sessionMs: settings.oidc_session_hours * 3_600_000,
    publicUrl: new URL(publicUrl).origin,
    secure: publicUrl.startsWith('https:'),
  };
}

/** Only this machine sees what goes to a loopback address. */
function checkAddress(setting: string, address: string): void {
  const { protocol, hostname } = new URL(address);
  if (protocol === 'https:' || isLoopback(hostname)) return;
  refuse(`${setting} is ${address}: signing in by OpenID Connect needs https, except on a loopback address.`);
}

function readSecret(file: string): string {
  let secret: string;
  try {
    secret = readFileSync(file, 'utf8').trim();
  } catch (error) {
    return refuse(`oidc_client_secret_file ${file} cannot be read: ${(error as Error).message}`);
  }
  if (secret.length >= MIN_SECRET_CHARACTERS && !/[\r\n]/.test(secret)) return secret;
  return refuse(
    `oidc_client_secret_file ${file} must contain one line of at least ${MIN_SECRET_CHARACTERS} characters: the secret that the provider gave. Sealed cookies depend on it.`,
  );
}

function refuse(message: string): never {
  throw new OperatorError(2, message);
}
