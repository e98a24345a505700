/** The settings of the collector that say who gets in by a proxy. */
import * as z from 'zod';
import { OperatorError } from '../common/operator_error.ts';
import { readScopedGroup } from './access/group_roles.ts';
import type { ProxyOptions } from './access/proxy_identity.ts';
import { network } from './setting_texts.ts';

const headerName = z
  .string()
  .regex(/^[A-Za-z0-9-]+$/, 'must be the name of a header, such as X-Forwarded-User');
export const groupNames = z.array(z.string().min(1).max(500)).default([]);
/** `GROUP=CONDITION&CONDITION`. */
export const scopedGroups = z
  .array(
    z.string().superRefine((text, context) => {
      try {
        readScopedGroup(text);
      } catch (error) {
        context.addIssue({ code: 'custom', message: (error as OperatorError).message });
      }
    }),
  )
  .default([]);
export const SCOPED_GROUPS_TEXT =
  'Groups whose members are viewers of some hosts only, separated by commas: GROUP=CONDITION&CONDITION. A condition is account:ID or tag:KEY:VALUE. Conditions about the same account or key are alternatives, others must all hold. A group may be named several times. See docs/operate.md.';

export const proxyShape = {
  proxy_user_header: headerName
    .optional()
    .describe(
      'Header in which a reverse proxy names the user who has signed in. The proxy must remove this header from requests of visitors.',
    ),
  proxy_groups_header: headerName
    .optional()
    .describe(
      'Header in which that proxy names the groups of the user, separated by commas. The proxy must remove it from requests of visitors too. With it, only users whose groups have a role get in.',
    ),
  proxy_trusted_addresses: z
    .array(network)
    .default([])
    .describe(
      'Addresses or networks of that proxy, separated by commas. The headers are ignored in connections from other addresses.',
    ),
  proxy_admins: z
    .array(z.string().min(1))
    .default([])
    .describe(
      'Users of the proxy who are admins, separated by commas. All others are viewers, unless groups count.',
    ),
  proxy_auditors: z
    .array(z.string().min(1))
    .default([])
    .describe(
      'Users of the proxy who are auditors, separated by commas: viewers who also read the audit log.',
    ),
  proxy_admin_groups: groupNames.describe('Groups in proxy_groups_header whose members are admins.'),
  proxy_auditor_groups: groupNames.describe('Groups in proxy_groups_header whose members are auditors.'),
  proxy_viewer_groups: groupNames.describe(
    'Groups in proxy_groups_header whose members are viewers of the whole fleet.',
  ),
  proxy_scoped_groups: scopedGroups.describe(SCOPED_GROUPS_TEXT),
};

export type ProxySettings = z.infer<z.ZodObject<typeof proxyShape>>;

export function proxyOptions(settings: ProxySettings): ProxyOptions {
  return {
    userHeader: settings.proxy_user_header ?? null,
    groupsHeader: settings.proxy_groups_header ?? null,
    trustedAddresses: settings.proxy_trusted_addresses,
    admins: settings.proxy_admins,
    auditors: settings.proxy_auditors,
    groups: {
      admins: settings.proxy_admin_groups,
      auditors: settings.proxy_auditor_groups,
      viewers: settings.proxy_viewer_groups,
      scoped: settings.proxy_scoped_groups.map(readScopedGroup),
    },
  };
}

/** Throws `OperatorError` (exit code 2) where a setting misses another one. */
export function checkProxySettings(settings: ProxySettings): void {
  const { proxy_user_header: user, proxy_groups_header: groupsHeader } = settings;
  const refuse = (message: string) => {
    throw new OperatorError(2, message);
  };
  if (user !== undefined && settings.proxy_trusted_addresses.length === 0) {
    refuse(
      'proxy_user_header needs proxy_trusted_addresses: set the addresses of the proxy that sends the header.',
    );
  }
  if (groupsHeader !== undefined && user === undefined) {
    refuse('proxy_groups_header needs proxy_user_header: groups belong to a user that the proxy names.');
  }
  const roles = (['admin', 'auditor', 'viewer', 'scoped'] as const).map(
    (each) => `proxy_${each}_groups` as const,
  );
  const named = roles.filter((each) => settings[each].length > 0);
  if (named.length > 0 && groupsHeader === undefined) {
    refuse(`${named[0]} needs proxy_groups_header: set the header in which the proxy names groups.`);
  }
}
