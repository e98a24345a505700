/** Launch templates. Source: EC2 API reference, CreateLaunchTemplateVersion and ModifyLaunchTemplate. */
import { createHash } from 'node:crypto';
import {
  CreateLaunchTemplateVersionCommand,
  DescribeLaunchTemplatesCommand,
  DescribeLaunchTemplateVersionsCommand,
  type EC2Client,
  ModifyLaunchTemplateCommand,
  type RequestLaunchTemplateData,
  type ResponseLaunchTemplateData,
} from '@aws-sdk/client-ec2';
import type { Cloud, Outcome } from '../cloud.ts';
import type { MetadataOptions } from '../plan.ts';
import type { Connection } from './connection.ts';
import { dryRunOutcome, outcome } from './errors.ts';
import { metadataOptions } from './instances.ts';

type TemplateCalls = Pick<
  Cloud,
  'describeTemplate' | 'describeTemplateVersion' | 'createTemplateVersion' | 'setDefaultVersion'
>;

export function templateCalls({ ec2, ec2Writer }: Connection): TemplateCalls {
  return {
    describeTemplate: (templateId) =>
      outcome(async () => {
        const { LaunchTemplates: [template] = [] } = await ec2.send(
          new DescribeLaunchTemplatesCommand({ LaunchTemplateIds: [templateId] }),
        );
        if (template === undefined) throw missing(`The launch template ${templateId} is not in the answer.`);
        return {
          templateId,
          name: template.LaunchTemplateName ?? templateId,
          defaultVersion: template.DefaultVersionNumber ?? 0,
          latestVersion: template.LatestVersionNumber ?? 0,
        };
      }),

    describeTemplateVersion: (templateId, version) =>
      outcome(async () => {
        const data = await versionData(ec2, templateId, version);
        return {
          templateId,
          version,
          options: metadataOptions(data.MetadataOptions),
          restSha256: restSha256(data),
        };
      }),

    createTemplateVersion: async (
      { templateId, sourceVersion, options, clientToken, description },
      { dryRun },
    ) => {
      const source = await outcome(() => versionData(ec2, templateId, sourceVersion));
      if (!source.ok) return source;
      const created = await dryRunOutcome(dryRun, () =>
        ec2Writer.send(
          new CreateLaunchTemplateVersionCommand({
            LaunchTemplateId: templateId,
            SourceVersion: String(sourceVersion),
            VersionDescription: description,
            ClientToken: clientToken,
            LaunchTemplateData: { MetadataOptions: requested(options), ...withSnapshots(source.value) },
            ...(dryRun ? { DryRun: true } : {}),
          }),
        ),
      );
      if (!created.ok || created.value === null) return created as Outcome<null>;
      const version = created.value.LaunchTemplateVersion?.VersionNumber;
      if (version === undefined) {
        const message = 'The answer has no number of the new version. Read the template.';
        return { ok: false, error: { kind: 'lost', code: 'NoVersionNumber', message } };
      }
      return { ok: true, value: version };
    },

    setDefaultVersion: async (templateId, version, { dryRun }) => {
      const answered = await dryRunOutcome(dryRun, () =>
        ec2Writer.send(
          new ModifyLaunchTemplateCommand({
            LaunchTemplateId: templateId,
            DefaultVersion: String(version),
            ...(dryRun ? { DryRun: true } : {}),
          }),
        ),
      );
      return answered.ok ? { ok: true, value: null } : answered;
    },
  };
}

async function versionData(
  ec2: EC2Client,
  templateId: string,
  version: number,
): Promise<ResponseLaunchTemplateData> {
  const { LaunchTemplateVersions: [found] = [] } = await ec2.send(
    new DescribeLaunchTemplateVersionsCommand({
      LaunchTemplateId: templateId,
      Versions: [String(version)],
    }),
  );
  if (found?.LaunchTemplateData === undefined) {
    throw missing(`Version ${version} of the launch template ${templateId} is not in the answer.`);
  }
  return found.LaunchTemplateData;
}

function missing(message: string): Error {
  const error = new Error(message);
  error.name = 'NotFound';
  return error;
}

/** A field that the template does not say stays unsaid. */
function requested(options: MetadataOptions): RequestLaunchTemplateData['MetadataOptions'] {
  return {
    ...(options.http_tokens === null ? {} : { HttpTokens: options.http_tokens }),
    ...(options.http_endpoint === null ? {} : { HttpEndpoint: options.http_endpoint }),
    ...(options.hop_limit === null ? {} : { HttpPutResponseHopLimit: options.hop_limit }),
    ...(options.http_protocol_ipv6 === null ? {} : { HttpProtocolIpv6: options.http_protocol_ipv6 }),
    ...(options.instance_metadata_tags === null
      ? {}
      : { InstanceMetadataTags: options.instance_metadata_tags }),
  };
}

/**
 * Names the block devices again where one has a snapshot: a new version does not inherit snapshots (EC2 API
 * reference, CreateLaunchTemplateVersion, SourceVersion).
 */
function withSnapshots({
  BlockDeviceMappings: mappings = [],
}: ResponseLaunchTemplateData): Pick<RequestLaunchTemplateData, 'BlockDeviceMappings'> {
  const hasSnapshot = mappings.some(({ Ebs: volume }) => volume?.SnapshotId !== undefined);
  return hasSnapshot ? { BlockDeviceMappings: mappings } : {};
}

/** Returns the digest of everything in a version but its metadata options. */
export function restSha256({ MetadataOptions: _options, ...rest }: ResponseLaunchTemplateData): string {
  return createHash('sha256').update(canonical(rest)).digest('hex');
}

/** Returns JSON with sorted keys and without absent values. The order of lists counts. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`;
  if (value === null || typeof value !== 'object' || value instanceof Date) return JSON.stringify(value);
  const entries = Object.entries(value)
    .filter(([, field]) => field !== undefined)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([key, field]) => `${JSON.stringify(key)}:${canonical(field)}`);
  return `{${entries.join(',')}}`;
}
