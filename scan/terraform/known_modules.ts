/** Registry modules that make instances, with their defaults by release. */
import type { DefaultSettings, Tokens } from '../rules/declaration.ts';
import type { Version } from './version_constraint.ts';

export interface ModuleDefaults {
  /** First release with these defaults. */
  from: Version;
  /** Value of an input that is not set at all. */
  silent: Tokens | 'aws';
  /** Value of http_tokens when the map is given without it. */
  partial: Tokens | 'aws';
  /** Value when the map is empty, where it differs from `partial`. */
  empty?: Tokens | 'aws';
  hopLimit: number | null;
  source: string;
}

export interface KnownModule {
  /** Registry address, also found in Git addresses. */
  address: string;
  /** Repository, for Git sources. */
  repository: string;
  /** Input with the settings: a map, or a switch for cloudposse. */
  input: string;
  isSwitch: boolean;
  /** Inputs that hold a map of groups, each with its own settings; `defaults` names the one for all groups. */
  groups: readonly { input: string; defaults: string }[];
  role: 'instance' | 'template';
  releases: readonly ModuleDefaults[];
}

const MODULES = 'https://github.com/terraform-aws-modules';

export const KNOWN_MODULES: readonly KnownModule[] = [
  {
    address: 'terraform-aws-modules/ec2-instance/aws',
    repository: 'terraform-aws-modules/terraform-aws-ec2-instance',
    input: 'metadata_options',
    isSwitch: false,
    groups: [],
    role: 'instance',
    releases: [
      {
        from: [6, 0, 0],
        silent: 'required',
        partial: 'required',
        hopLimit: 1,
        source: `${MODULES}/terraform-aws-ec2-instance/blob/v6.0.0/variables.tf`,
      },
      {
        from: [5, 8, 0],
        silent: 'required',
        partial: 'required',
        empty: 'aws',
        hopLimit: 1,
        source: `${MODULES}/terraform-aws-ec2-instance/blob/v5.8.0/variables.tf`,
      },
      {
        from: [0, 0, 0],
        silent: 'optional',
        partial: 'optional',
        empty: 'aws',
        hopLimit: 1,
        source: `${MODULES}/terraform-aws-ec2-instance/blob/v5.7.1/variables.tf`,
      },
    ],
  },
  {
    address: 'terraform-aws-modules/autoscaling/aws',
    repository: 'terraform-aws-modules/terraform-aws-autoscaling',
    input: 'metadata_options',
    isSwitch: false,
    groups: [],
    role: 'template',
    releases: [
      {
        from: [9, 0, 0],
        silent: 'required',
        partial: 'required',
        hopLimit: 1,
        source: `${MODULES}/terraform-aws-autoscaling/blob/v9.0.0/variables.tf`,
      },
      {
        from: [0, 0, 0],
        silent: 'aws',
        partial: 'aws',
        hopLimit: null,
        source: `${MODULES}/terraform-aws-autoscaling/blob/v8.3.1/variables.tf`,
      },
    ],
  },
  {
    address: 'terraform-aws-modules/eks/aws',
    repository: 'terraform-aws-modules/terraform-aws-eks',
    input: 'metadata_options',
    isSwitch: false,
    groups: [
      { input: 'eks_managed_node_groups', defaults: 'eks_managed_node_group_defaults' },
      { input: 'self_managed_node_groups', defaults: 'self_managed_node_group_defaults' },
    ],
    role: 'template',
    releases: [
      {
        from: [21, 0, 0],
        silent: 'required',
        partial: 'required',
        hopLimit: 1,
        source: `${MODULES}/terraform-aws-eks/blob/v21.0.0/docs/UPGRADE-21.0.md`,
      },
      {
        from: [18, 0, 0],
        silent: 'required',
        partial: 'aws',
        hopLimit: 2,
        source: `${MODULES}/terraform-aws-eks/blob/v20.0.0/modules/eks-managed-node-group/variables.tf`,
      },
    ],
  },
  {
    address: 'cloudposse/ec2-instance/aws',
    repository: 'cloudposse/terraform-aws-ec2-instance',
    input: 'metadata_http_tokens_required',
    isSwitch: true,
    groups: [],
    role: 'instance',
    releases: [
      {
        from: [0, 0, 0],
        silent: 'required',
        partial: 'required',
        hopLimit: null,
        source: 'https://github.com/cloudposse/terraform-aws-ec2-instance/blob/main/variables.tf',
      },
    ],
  },
];

/** Returns the module of a source address, with a version that is part of a Git address. */
export function knownModule(
  source: string,
): { module: KnownModule; gitVersion: string | null; sub: string } | null {
  const sub = /\/\/([^?]+)/.exec(source.replace(/[a-z]+:\/\//g, ''))?.[1] ?? '';
  for (const module of KNOWN_MODULES) {
    const registry = source.replace(/^(registry\.terraform\.io|registry\.opentofu\.org)\//, '');
    if (registry === module.address || registry.startsWith(`${module.address}//`))
      return { module, gitVersion: null, sub };
    if (source.includes(module.repository) && /^(git::|github\.com|git@|https?:|ssh:)/.test(source)) {
      return { module, gitVersion: /[?&]ref=v?([\w.-]+)/.exec(source)?.[1] ?? '', sub };
    }
  }
  return null;
}

/** Returns the default in the shape that the rules judge. */
export function moduleDefault(
  { address }: KnownModule,
  { source, hopLimit }: ModuleDefaults,
  version: string,
  tokens: Tokens,
): DefaultSettings {
  return {
    tokens,
    hopLimit,
    subject: `${address} (${version})`,
    says: `has the default "${tokens}"`,
    source,
  };
}
