/** Instances: reads and changes their metadata options. Source: EC2 API reference, ModifyInstanceMetadataOptions. */
import {
  type Instance,
  type InstanceMetadataOptionsResponse,
  ModifyInstanceMetadataOptionsCommand,
  paginateDescribeInstances,
} from '@aws-sdk/client-ec2';
import type { Cloud, InstanceDescription, Outcome } from '../cloud.ts';
import type { MetadataOptions } from '../plan.ts';
import type { Connection } from './connection.ts';
import { dryRunOutcome, outcome } from './errors.ts';

/** A filter takes at most 200 values (EC2 API reference, "Filtering"). */
const VALUES_PER_FILTER = 200;

type InstanceCalls = Pick<Cloud, 'describeInstances' | 'modifyInstance'>;

export function instanceCalls({ ec2, ec2Writer }: Connection): InstanceCalls {
  return {
    describeInstances: (instanceIds) =>
      outcome(async () => {
        const found: InstanceDescription[] = [];
        for (let from = 0; from < instanceIds.length; from += VALUES_PER_FILTER) {
          // With `InstanceIds` one unknown id makes the whole call fail. A filter leaves it out.
          const Values = instanceIds.slice(from, from + VALUES_PER_FILTER);
          const pages = paginateDescribeInstances(
            { client: ec2 },
            { Filters: [{ Name: 'instance-id', Values }], IncludeManagedResources: true },
          );
          for await (const { Reservations = [] } of pages) {
            for (const { Instances = [] } of Reservations) found.push(...Instances.map(describe));
          }
        }
        return found;
      }),

    modifyInstance: async (instanceId, change, { dryRun, isEndpointEnabled }) => {
      const answered = await dryRunOutcome(dryRun, () =>
        ec2Writer.send(
          new ModifyInstanceMetadataOptionsCommand({
            InstanceId: instanceId,
            ...(change.http_tokens === undefined ? {} : { HttpTokens: change.http_tokens }),
            ...(change.hop_limit === undefined ? {} : { HttpPutResponseHopLimit: change.hop_limit }),
            // Sent to an instance whose service is off, this would turn the service on.
            ...(isEndpointEnabled ? { HttpEndpoint: 'enabled' } : {}),
            ...(dryRun ? { DryRun: true } : {}),
          }),
        ),
      );
      if (!answered.ok || answered.value === null) return answered as Outcome<null>;
      const { InstanceMetadataOptions: options } = answered.value;
      return { ok: true, value: { options: metadataOptions(options), optionsState: stateOf(options) } };
    },
  };
}

function describe(instance: Instance): InstanceDescription {
  const { Operator: operator } = instance;
  return {
    instanceId: instance.InstanceId ?? '',
    state: instance.State?.Name ?? 'unknown',
    options: metadataOptions(instance.MetadataOptions),
    optionsState: stateOf(instance.MetadataOptions),
    owner: {
      tags: tagsOf(instance.Tags),
      operator: operator?.Managed === true ? (operator.Principal ?? 'unknown') : null,
      isSpot: instance.InstanceLifecycle === 'spot',
    },
    imageId: instance.ImageId ?? null,
    launchedMs: instance.LaunchTime?.getTime() ?? null,
  };
}

export function tagsOf(tags: Instance['Tags'] = []): Record<string, string> {
  return Object.fromEntries(tags.map(({ Key: key = '', Value: value = '' }) => [key, value]));
}

function stateOf(options: InstanceMetadataOptionsResponse | undefined): 'pending' | 'applied' | null {
  return options?.State ?? null;
}

interface AnsweredOptions {
  HttpTokens?: MetadataOptions['http_tokens'] | undefined;
  HttpEndpoint?: MetadataOptions['http_endpoint'] | undefined;
  HttpPutResponseHopLimit?: number | undefined;
  HttpProtocolIpv6?: MetadataOptions['http_protocol_ipv6'] | undefined;
  InstanceMetadataTags?: MetadataOptions['instance_metadata_tags'] | undefined;
}

/** Takes the options of an instance or of a launch template. What the cloud does not say is null. */
export function metadataOptions(options: AnsweredOptions | undefined): MetadataOptions {
  return {
    http_tokens: options?.HttpTokens ?? null,
    http_endpoint: options?.HttpEndpoint ?? null,
    hop_limit: options?.HttpPutResponseHopLimit ?? null,
    http_protocol_ipv6: options?.HttpProtocolIpv6 ?? null,
    instance_metadata_tags: options?.InstanceMetadataTags ?? null,
  };
}
