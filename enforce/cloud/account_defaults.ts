/** The defaults of an account in a region. Source: EC2 API reference, GetInstanceMetadataDefaults. */
import {
  GetInstanceMetadataDefaultsCommand,
  type InstanceMetadataDefaultsResponse,
  ModifyInstanceMetadataDefaultsCommand,
} from '@aws-sdk/client-ec2';
import type { Cloud } from '../cloud.ts';
import type { AccountDefaults } from '../plan.ts';
import type { Connection } from './connection.ts';
import { dryRunOutcome, outcome } from './errors.ts';

export function accountCalls({
  ec2,
  ec2Writer,
}: Connection): Pick<Cloud, 'accountDefaults' | 'setAccountTokens'> {
  return {
    accountDefaults: () =>
      outcome(async () => {
        const { AccountLevel: level } = await ec2.send(new GetInstanceMetadataDefaultsCommand({}));
        return accountDefaultsOf(level);
      }),
    setAccountTokens: async (value, { dryRun }) => {
      const answered = await dryRunOutcome(dryRun, () =>
        ec2Writer.send(
          new ModifyInstanceMetadataDefaultsCommand({
            HttpTokens: value ?? 'no-preference',
            ...(dryRun ? { DryRun: true } : {}),
          }),
        ),
      );
      if (answered.ok && answered.value?.Return === false) {
        return {
          ok: false,
          error: { kind: 'other', code: 'ReturnFalse', message: 'AWS answered that nothing was changed.' },
        };
      }
      return answered.ok ? { ok: true, value: null } : answered;
    },
  };
}

/** A default that was never set is absent, or has no preference: -1 for the hop limit. */
export function accountDefaultsOf(level: InstanceMetadataDefaultsResponse | undefined): AccountDefaults {
  const hopLimit = level?.HttpPutResponseHopLimit ?? -1;
  return {
    http_tokens: stated(level?.HttpTokens),
    http_endpoint: stated(level?.HttpEndpoint),
    hop_limit: hopLimit < 1 ? null : hopLimit,
    instance_metadata_tags: stated(level?.InstanceMetadataTags),
    http_tokens_enforced: stated(level?.HttpTokensEnforced),
    managed_by: level?.ManagedBy ?? null,
  };
}

function stated<T extends string>(value: T | undefined): Exclude<T, 'no-preference'> | null {
  return value === undefined || value === 'no-preference' ? null : (value as Exclude<T, 'no-preference'>);
}
