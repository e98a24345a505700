/** Implements the cloud of the enforcement with the AWS SDK. */
import { GetCallerIdentityCommand } from '@aws-sdk/client-sts';
import type { Cloud, OpenCloud } from '../cloud.ts';
import { accountCalls } from './account_defaults.ts';
import { type Connection, connect } from './connection.ts';
import type { CredentialSettings } from './credential_settings.ts';
import { outcome } from './errors.ts';
import { instanceCalls } from './instances.ts';
import { metricCalls } from './metrics.ts';
import { scalingGroupCalls } from './scaling_groups.ts';
import { templateCalls } from './templates.ts';

/** Returns the function that opens the cloud of an account and a region with these credentials. */
export function openAwsWith(settings: CredentialSettings): OpenCloud {
  return ({ account, region, planId }) => {
    const connection = connect(settings, { account, region }, planId);
    return {
      account,
      region,
      // The SDK learns it from the header `Date` of each answer, to sign by AWS's clock.
      clockAheadMs: () => connection.ec2.config.systemClockOffset,
      callerAccount: () => outcome(() => callerAccount(connection)),
      ...instanceCalls(connection),
      ...accountCalls(connection),
      ...templateCalls(connection),
      ...scalingGroupCalls(connection),
      ...metricCalls(connection),
    } satisfies Cloud;
  };
}

export async function callerAccount({ sts }: Connection): Promise<string> {
  const { Account: account } = await sts.send(new GetCallerIdentityCommand({}));
  if (account === undefined) throw new Error('STS did not say which account the credentials are for.');
  return account;
}
