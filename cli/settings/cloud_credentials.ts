/** Settings that say with whose credentials a command uses AWS. */
import * as z from 'zod';
import type { CredentialSettings } from '../../enforce/cloud/credential_settings.ts';
import { accountOfRole } from '../../enforce/cloud/roles.ts';

export const credentialsShape = {
  assume_role: z
    .array(z.string())
    .default([])
    .describe(
      'ARNs of roles to assume, separated by commas, one for each account. Default: the account of your own credentials.',
    ),
  external_id: z.string().min(2).max(1224).optional().describe('External id that the roles ask for.'),
  profile: z
    .string()
    .min(1)
    .optional()
    .describe('Profile of your AWS configuration. Default: the default chain of the AWS SDK, never IMDSv1.'),
};

/** Throws `OperatorError` (2) for a text that is no ARN of a role. */
export function credentialsOf(settings: {
  assume_role: string[];
  external_id?: string | undefined;
  profile?: string | undefined;
}): CredentialSettings {
  for (const arn of settings.assume_role) accountOfRole(arn);
  return {
    profile: settings.profile ?? null,
    roles: settings.assume_role,
    externalId: settings.external_id ?? null,
  };
}
