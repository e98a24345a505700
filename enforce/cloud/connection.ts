/**
 * Opens the clients of AWS for one account and region, with the operator's own credentials.
 *
 * Only the commands `cloud` and `enforce` load this directory. The SDK takes 93 MB of memory.
 */
import { AutoScalingClient } from '@aws-sdk/client-auto-scaling';
import { CloudWatchClient } from '@aws-sdk/client-cloudwatch';
import { EC2Client } from '@aws-sdk/client-ec2';
import { STSClient } from '@aws-sdk/client-sts';
import { fromNodeProviderChain, fromTemporaryCredentials } from '@aws-sdk/credential-providers';
import type { CredentialSettings } from './credential_settings.ts';
import { roleOf } from './roles.ts';

const CONNECTION_TIMEOUT_MS = 3000;
/** A page of a thousand instances takes a few seconds. */
const REQUEST_TIMEOUT_MS = 20_000;
/** The SDK repeats reads, with increasing delays, after throttling and cut connections. */
const READ_ATTEMPTS = 6;
/** Names of role sessions have 2 to 64 characters (AWS API reference, STS AssumeRole). */
const SESSION_NAME_CHARACTERS = 64;

export interface Place {
  /** Null: the account of the operator's own credentials. */
  account: string | null;
  region: string;
}

export interface Connection {
  ec2: EC2Client;
  /** Sends a request once: a write whose answer was lost must be read, not repeated. */
  ec2Writer: EC2Client;
  autoScaling: AutoScalingClient;
  autoScalingWriter: AutoScalingClient;
  cloudWatch: CloudWatchClient;
  sts: STSClient;
  close(): void;
}

/**
 * Keeps every part of the SDK from calling the metadata service without a token. The SDK falls back to that
 * when the token is refused or late. Clients that a credential provider makes for itself read the
 * environment only.
 */
function forbidImdsV1(): void {
  process.env['AWS_EC2_METADATA_V1_DISABLED'] = 'true';
}

/** Returns the operator's credentials, or those of the role for this account. Nothing is sent yet. */
export function credentialsFor(settings: CredentialSettings, { account, region }: Place, purpose: string) {
  forbidImdsV1();
  const own = fromNodeProviderChain({
    ...(settings.profile === null ? {} : { profile: settings.profile }),
    ec2MetadataV1Disabled: true,
    clientConfig: { region },
  });
  const role = roleOf(settings.roles, account);
  if (role === null) return own;
  return fromTemporaryCredentials({
    masterCredentials: own,
    clientConfig: { region },
    params: {
      RoleArn: role,
      // CloudTrail shows this name as part of the caller's ARN.
      RoleSessionName: `imdswatch-${purpose}`.slice(0, SESSION_NAME_CHARACTERS),
      ...(settings.externalId === null ? {} : { ExternalId: settings.externalId }),
    },
  });
}

/** `purpose`: the plan's id, or the command. CloudTrail records it as `app/…` in the user agent. */
export function connect(settings: CredentialSettings, place: Place, purpose: string): Connection {
  const shared = {
    region: place.region,
    credentials: credentialsFor(settings, place, purpose),
    userAgentAppId: purpose,
    requestHandler: {
      connectionTimeout: CONNECTION_TIMEOUT_MS,
      requestTimeout: REQUEST_TIMEOUT_MS,
      throwOnRequestTimeout: true,
    },
  };
  const reads = { ...shared, maxAttempts: READ_ATTEMPTS };
  const writes = { ...shared, maxAttempts: 1 };
  const connection = {
    ec2: new EC2Client(reads),
    ec2Writer: new EC2Client(writes),
    autoScaling: new AutoScalingClient(reads),
    autoScalingWriter: new AutoScalingClient(writes),
    cloudWatch: new CloudWatchClient(reads),
    sts: new STSClient(reads),
  };
  return {
    ...connection,
    close: () => {
      for (const client of Object.values(connection)) client.destroy();
    },
  };
}
