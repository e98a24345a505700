/**
 * The cloud as the enforcement needs it: one account and region at a time. `enforce/cloud/` implements it with
 * the AWS SDK. Every function returns its error as a value; none throws for an answer of the cloud.
 */
import type { AccountDefaults, MetadataOptions, OptionsChange, VersionReference } from './plan.ts';

/**
 * - `denied`: the caller may not do this, by IAM or a policy of the organisation (`UnauthorizedOperation`).
 * - `unsupported`: the account's settings forbid it (`UnsupportedOperation`, for example with `HttpTokensEnforced`).
 * - `throttled`: refused for its rate, nothing was changed (`RequestLimitExceeded`).
 * - `not_found`, `wrong_state`: the target is gone, or cannot be changed in its state.
 * - `lost`: no answer arrived. A change may have been made: read before anything else.
 * - `other`: any other refusal; nothing was changed.
 */
export type CloudErrorKind =
  | 'denied'
  | 'unsupported'
  | 'throttled'
  | 'not_found'
  | 'wrong_state'
  | 'lost'
  | 'other';

export interface CloudError {
  kind: CloudErrorKind;
  /** AWS's own code, for example `UnauthorizedOperation`. */
  code: string;
  message: string;
}

export type Outcome<T> = { ok: true; value: T } | { ok: false; error: CloudError };

/** Facts that name the manager of an instance, from its tags and `Operator`. Facts: EC2 API, DescribeInstances. */
export interface OwnerFacts {
  tags: Readonly<Record<string, string>>;
  /** The principal of `Operator`, where `Operator.Managed` is true. Null otherwise. */
  operator: string | null;
  isSpot: boolean;
}

export interface InstanceDescription {
  instanceId: string;
  /** `running`, `stopped` … as the cloud names it. */
  state: string;
  options: MetadataOptions;
  /** `pending`: the metadata service does not answer by these values yet. */
  optionsState: 'pending' | 'applied' | null;
  owner: OwnerFacts;
  imageId: string | null;
  /** Milliseconds since 1970. */
  launchedMs: number | null;
}

export interface ModifyOptions {
  /** Asks if the change is permitted, and changes nothing. `ok` means permitted. */
  dryRun: boolean;
}

export interface LaunchTemplate {
  templateId: string;
  name: string;
  defaultVersion: number;
  latestVersion: number;
}

export interface LaunchTemplateVersion {
  templateId: string;
  version: number;
  /** Null fields: the template does not say. */
  options: MetadataOptions;
  /** SHA-256 of all other parameters of the version as canonical JSON (keys sorted). */
  restSha256: string;
}

export interface ScalingGroup {
  name: string;
  /** Null where the group uses a launch configuration, or several templates (a mixed instances policy with overrides). */
  template: { templateId: string; reference: VersionReference } | null;
  /** Tells why `template` is null. */
  otherSource: 'launch_configuration' | 'mixed_instances' | null;
  instanceIds: string[];
}

/** Sums of CloudWatch over a span. Null: CloudWatch has no point in the span, which is not zero. */
export interface NoTokenCounts {
  instanceId: string;
  accepted: number | null;
  rejected: number | null;
}

/** One account and region. */
export interface Cloud {
  readonly account: string;
  readonly region: string;
  /** The account that the credentials belong to (STS GetCallerIdentity). */
  callerAccount(): Promise<Outcome<string>>;
  /**
   * Milliseconds that AWS's clock is ahead of this machine's, negative where it is behind, as the latest answer of EC2
   * shows, to a second or two. 0 before the first answer.
   */
  clockAheadMs(): number;
  /** Instances that exist, in any order. An id that the cloud does not know is absent. */
  describeInstances(instanceIds: readonly string[]): Promise<Outcome<InstanceDescription[]>>;
  /**
   * Sends the fields of `change`, and `HttpEndpoint=enabled` only with `isEndpointEnabled`. Returns the options
   * and the state that AWS answered with; null for a dry run. It is never repeated after `lost`.
   */
  modifyInstance(
    instanceId: string,
    change: OptionsChange,
    options: ModifyOptions & { isEndpointEnabled: boolean },
  ): Promise<Outcome<Pick<InstanceDescription, 'options' | 'optionsState'> | null>>;
  accountDefaults(): Promise<Outcome<AccountDefaults>>;
  /** Sends one field only. `null` is `no-preference`. */
  setAccountTokens(value: AccountDefaults['http_tokens'], options: ModifyOptions): Promise<Outcome<null>>;
  describeTemplate(templateId: string): Promise<Outcome<LaunchTemplate>>;
  describeTemplateVersion(templateId: string, version: number): Promise<Outcome<LaunchTemplateVersion>>;
  /**
   * Makes a version from `sourceVersion` with these metadata options, all of them given. `clientToken` makes a
   * repetition harmless. Returns the new version's number; null for a dry run.
   */
  createTemplateVersion(
    version: {
      templateId: string;
      sourceVersion: number;
      options: MetadataOptions;
      clientToken: string;
      description: string;
    },
    options: ModifyOptions,
  ): Promise<Outcome<number | null>>;
  setDefaultVersion(templateId: string, version: number, options: ModifyOptions): Promise<Outcome<null>>;
  scalingGroup(name: string): Promise<Outcome<ScalingGroup | null>>;
  /** Names of all groups of the account and region that may launch from the template, also by an override. */
  scalingGroupsOf(templateId: string): Promise<Outcome<string[]>>;
  /**
   * Returns the status of the group's instance refresh that is under way, for example `InProgress`; null where there is
   * none, or no such group.
   */
  instanceRefresh(name: string): Promise<Outcome<string | null>>;
  /** AWS has no dry run for this call. */
  setGroupVersion(name: string, templateId: string, reference: VersionReference): Promise<Outcome<null>>;
  /** Times in milliseconds since 1970, whole minutes. */
  noTokenCounts(
    instanceIds: readonly string[],
    span: { sinceMs: number; untilMs: number },
  ): Promise<Outcome<NoTokenCounts[]>>;
  /** Names of those alarms that are in the state ALARM, or that do not exist. */
  alarmsNotGreen(names: readonly string[]): Promise<Outcome<string[]>>;
}

/** Opens the cloud of an account and a region. `planId` becomes part of the AWS user agent. */
export type OpenCloud = (place: { account: string; region: string; planId: string }) => Cloud;
