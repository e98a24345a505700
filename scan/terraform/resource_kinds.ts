/** Terraform resources that decide how instances answer, with what is particular to each. */
import type { Value } from '../evaluate/value.ts';
import type { ChangeEffect } from '../finding.ts';
import type { Caveat, Declaration, Tokens } from '../rules/declaration.ts';
import { parseMinimumVersion, parseTokens } from '../rules/parse_settings.ts';

export interface ResourceKind {
  kind: Declaration['kind'];
  /** Nested block with the settings; null where the resource itself has them or it has none. */
  block: string | null;
  tokens: string;
  parseTokens: (value: Value) => Tokens | null;
  /** Text of the value that requires tokens, in HCL. */
  required: string;
  endpoint: string | null;
  hopLimit: string | null;
  /** Attribute with the id of the image. */
  image: string | null;
  /** Place in which it names launch templates. */
  templates: 'none' | 'block' | 'group' | 'fleet' | 'spot_fleet';
  effect: ChangeEffect;
  elsewhere: readonly string[];
  caveat?: Caveat;
}

const PROVIDER = 'https://registry.terraform.io/providers/hashicorp/aws/latest/docs/resources';
const COMMON = [
  'AWS-0028',
  'CKV_AWS_79',
  'KICS:c306ac53-ee5b-41d3-86a9-0fd2722b4e67',
  'Datadog:terraform/imdsv1_is_enabled',
];
const TEMPLATE_IDS = [
  'AWS-0130',
  'CKV_AWS_79',
  'KICS:c306ac53-ee5b-41d3-86a9-0fd2722b4e67',
  'Datadog:terraform/imdsv1_is_enabled',
];

export const INSTANCE_IDS: readonly string[] = [...COMMON, 'EC2.8'];
export const LAUNCH_TEMPLATE_IDS: readonly string[] = [...TEMPLATE_IDS, 'EC2.170'];
export const LAUNCH_CONFIGURATION_IDS: readonly string[] = [...TEMPLATE_IDS, 'AutoScaling.3'];

const METADATA_OPTIONS = {
  block: 'metadata_options',
  tokens: 'http_tokens',
  parseTokens,
  required: '"required"',
  endpoint: 'http_endpoint',
  hopLimit: 'http_put_response_hop_limit',
} as const;

const NO_SETTINGS = {
  block: null,
  tokens: 'http_tokens',
  parseTokens,
  required: '"required"',
  endpoint: null,
  hopLimit: null,
} as const;

export const RESOURCE_KINDS: Readonly<Record<string, ResourceKind>> = {
  aws_instance: {
    ...METADATA_OPTIONS,
    kind: 'launcher',
    image: 'ami',
    templates: 'block',
    effect: {
      how: 'in_place',
      text: 'Terraform changes the running instance in place, without a restart.',
      source: `${PROVIDER}/instance#metadata-options`,
    },
    elsewhere: INSTANCE_IDS,
  },
  aws_spot_instance_request: {
    ...METADATA_OPTIONS,
    kind: 'launcher',
    image: 'ami',
    templates: 'block',
    effect: {
      how: 'replaces',
      text: 'Terraform replaces the spot request and its instance.',
      source: `${PROVIDER}/spot_instance_request`,
    },
    elsewhere: INSTANCE_IDS,
    caveat: {
      text: 'Releases of the AWS provider have ignored metadata_options of spot requests. Check the running instance.',
      source: 'https://github.com/hashicorp/terraform-provider-aws/issues/25896',
    },
  },
  aws_launch_template: {
    ...METADATA_OPTIONS,
    kind: 'launcher',
    image: 'image_id',
    templates: 'none',
    effect: {
      how: 'new_launches_only',
      text: 'Terraform makes a new version of the template. Running instances keep their setting until they are replaced.',
      source: `${PROVIDER}/launch_template`,
    },
    elsewhere: LAUNCH_TEMPLATE_IDS,
  },
  aws_launch_configuration: {
    ...METADATA_OPTIONS,
    kind: 'launcher',
    image: 'image_id',
    templates: 'none',
    effect: {
      how: 'replaces',
      text: 'Launch configurations cannot be changed: Terraform replaces it. Running instances keep their setting.',
      source: `${PROVIDER}/launch_configuration`,
    },
    elsewhere: LAUNCH_CONFIGURATION_IDS,
  },
  aws_autoscaling_group: {
    ...NO_SETTINGS,
    kind: 'group',
    image: null,
    templates: 'group',
    effect: {
      how: 'new_launches_only',
      text: 'The group uses the setting for instances that it launches from then on.',
      source: `${PROVIDER}/autoscaling_group`,
    },
    elsewhere: LAUNCH_TEMPLATE_IDS,
  },
  aws_ec2_fleet: {
    ...NO_SETTINGS,
    kind: 'group',
    image: null,
    templates: 'fleet',
    effect: {
      how: 'new_launches_only',
      text: 'The fleet uses the setting for instances that it launches from then on.',
      source: `${PROVIDER}/ec2_fleet`,
    },
    elsewhere: LAUNCH_TEMPLATE_IDS,
  },
  aws_spot_fleet_request: {
    ...NO_SETTINGS,
    kind: 'launcher',
    image: null,
    templates: 'spot_fleet',
    effect: {
      how: 'replaces',
      text: 'A launch_specification cannot hold metadata options. Move it to a launch template; Terraform replaces the fleet.',
      source: `${PROVIDER}/spot_fleet_request`,
    },
    elsewhere: LAUNCH_TEMPLATE_IDS,
  },
  aws_eks_node_group: {
    ...NO_SETTINGS,
    kind: 'group',
    image: null,
    templates: 'block',
    effect: {
      how: 'new_launches_only',
      text: 'Amazon EKS replaces the nodes one after another when the template version changes.',
      source: `${PROVIDER}/eks_node_group`,
    },
    elsewhere: LAUNCH_TEMPLATE_IDS,
  },
  aws_imagebuilder_infrastructure_configuration: {
    ...METADATA_OPTIONS,
    block: 'instance_metadata_options',
    endpoint: null,
    kind: 'launcher',
    image: null,
    templates: 'none',
    effect: {
      how: 'in_place',
      text: 'Terraform changes the configuration in place. The next build uses it.',
      source: `${PROVIDER}/imagebuilder_infrastructure_configuration`,
    },
    elsewhere: INSTANCE_IDS,
  },
  aws_sagemaker_notebook_instance: {
    block: 'instance_metadata_service_configuration',
    tokens: 'minimum_instance_metadata_service_version',
    parseTokens: parseMinimumVersion,
    required: '"2"',
    endpoint: null,
    hopLimit: null,
    kind: 'launcher',
    image: null,
    templates: 'none',
    effect: {
      how: 'in_place',
      text: 'Terraform changes the notebook instance in place, which stops and starts it.',
      source: `${PROVIDER}/sagemaker_notebook_instance`,
    },
    elsewhere: ['CKV_AWS_371'],
  },
  aws_ec2_instance_metadata_defaults: {
    ...METADATA_OPTIONS,
    block: null,
    kind: 'account_default',
    image: null,
    templates: 'none',
    effect: {
      how: 'new_launches_only',
      text: 'The default applies to instances that are launched from then on. Existing instances are not affected.',
      source: `${PROVIDER}/ec2_instance_metadata_defaults`,
    },
    elsewhere: [],
  },
  aws_ami: {
    ...NO_SETTINGS,
    tokens: 'imds_support',
    kind: 'image',
    image: null,
    templates: 'none',
    effect: {
      how: 'replaces',
      text: 'Terraform registers a new image. ImdsSupport of an image cannot be undone.',
      source: `${PROVIDER}/ami`,
    },
    elsewhere: [],
  },
};
