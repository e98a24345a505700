/** Tests each Terraform resource: required, optional, off, silent, unknown. */
import { type Case, testCases } from '../../../support/scan/cases.ts';

const PRECEDENCE = 'EC2 user guide, order of precedence for instance metadata options';
const DOCS = (resource: string) => `AWS provider, ${resource}`;

/** The resources with a metadata_options block behave alike. */
const blocks = [
  ['aws_instance', 'metadata_options', 'http_endpoint = "disabled"'],
  ['aws_launch_template', 'metadata_options', 'http_endpoint = "disabled"'],
  ['aws_launch_configuration', 'metadata_options', 'http_endpoint = "disabled"'],
] as const;

const alike: Case[] = blocks.flatMap(([type, block, off]): Case[] => {
  const resource = (body: string) => `resource "${type}" "x" {\n  key_name = "k"\n${body}}\n`;
  const options = (body: string) => resource(`\n  ${block} {\n${body}  }\n`);
  const source = DOCS(type);
  return [
    { name: `${type} required`, code: options('    http_tokens = "required"\n'), want: [], source },
    {
      name: `${type} optional`,
      code: options('    http_tokens = "optional" # why\n'),
      want: ['5 imdsv1-allowed'],
      fixed: options('    http_tokens = "required" # why\n'),
      source,
    },
    {
      name: `${type} without a block`,
      code: resource(''),
      want: ['1 imdsv1-allowed-by-default'],
      fixed: options('    http_tokens = "required"\n'),
      source: PRECEDENCE,
    },
    {
      name: `${type} with a block that is silent`,
      code: options('    http_endpoint = "enabled"\n'),
      want: ['4 imdsv1-allowed-by-default'],
      fixed: options('    http_endpoint = "enabled"\n    http_tokens   = "required"\n'),
      source: PRECEDENCE,
    },
    {
      name: `${type} with the endpoint off`,
      code: options(`    ${off}\n    http_tokens = "optional"\n`),
      want: [],
      source,
    },
    {
      name: `${type} with the endpoint off and no tokens`,
      code: options(`    ${off}\n`),
      want: [],
      source,
    },
    {
      name: `${type} with an empty block`,
      code: resource(`  ${block} {}\n`),
      want: ['3 imdsv1-allowed-by-default'],
      fixed: resource(`  ${block} {\n    http_tokens = "required"\n  }\n`),
      source: PRECEDENCE,
    },
    {
      name: `${type} with a null value`,
      code: options('    http_tokens = null\n'),
      want: ['5 imdsv1-allowed-by-default'],
      fixed: options('    http_tokens = "required"\n'),
      source: 'Terraform language, null is as if the argument was omitted',
    },
    {
      name: `${type} with a variable without default`,
      code: `variable "t" {}\n${options('    http_tokens = var.t\n')}`,
      want: ['6 imdsv1-unknown'],
      says: /var\.t has no default/,
      source: 'Terraform language, input variables',
    },
    {
      name: `${type} with a value that the API refuses`,
      code: options('    http_tokens = "Required"\n'),
      want: ['5 imdsv1-unknown'],
      says: /"Required" is no value of this setting/,
      source: 'EC2 API, InstanceMetadataOptionsRequest',
    },
    {
      name: `${type} optional while the endpoint is not known`,
      code: `variable "e" {}\n${options('    http_endpoint = var.e\n    http_tokens = "optional"\n')}`,
      want: ['7 imdsv1-unknown'],
      says: /endpoint is enabled: var\.e has no default/,
      source: 'KICS passes this silently: iac.md, defect 9',
    },
    {
      name: `${type} required while the endpoint is not known`,
      code: `variable "e" {}\n${options('    http_endpoint = var.e\n    http_tokens = "required"\n')}`,
      want: [],
      source,
    },
  ];
});
testCases('terraform resources with metadata_options', 'main.tf', alike);

const more: Case[] = [
  {
    name: 'a spot request that requires tokens has the provider issue as a note',
    code: 'resource "aws_spot_instance_request" "x" {\n  metadata_options {\n    http_tokens = "required"\n  }\n}\n',
    want: ['3 imdsv1-unknown'],
    says: /have ignored metadata_options of spot requests/,
    source: 'hashicorp/terraform-provider-aws#25896',
  },
  {
    name: 'a spot request that allows IMDSv1',
    code: 'resource "aws_spot_instance_request" "x" {\n  metadata_options {\n    http_tokens = "optional"\n  }\n}\n',
    want: ['3 imdsv1-allowed'],
    source: DOCS('aws_spot_instance_request'),
  },
  {
    name: 'a spot fleet with a launch specification cannot require tokens',
    code: 'resource "aws_spot_fleet_request" "x" {\n  launch_specification {\n    ami = "ami-1"\n  }\n}\n',
    want: ['1 imdsv1-allowed-by-default'],
    source: DOCS('aws_spot_fleet_request'),
  },
  {
    name: 'image builder allows IMDSv1',
    code: 'resource "aws_imagebuilder_infrastructure_configuration" "x" {\n  instance_metadata_options {\n    http_tokens = "optional"\n  }\n}\n',
    want: ['3 imdsv1-allowed'],
    source: DOCS('aws_imagebuilder_infrastructure_configuration'),
  },
  {
    name: 'image builder requires tokens',
    code: 'resource "aws_imagebuilder_infrastructure_configuration" "x" {\n  instance_metadata_options {\n    http_tokens = "required"\n  }\n}\n',
    want: [],
    source: DOCS('aws_imagebuilder_infrastructure_configuration'),
  },
  {
    name: 'image builder says nothing',
    code: 'resource "aws_imagebuilder_infrastructure_configuration" "x" {\n  name = "x"\n}\n',
    want: ['1 imdsv1-allowed-by-default'],
    fixed:
      'resource "aws_imagebuilder_infrastructure_configuration" "x" {\n  name = "x"\n\n  instance_metadata_options {\n    http_tokens = "required"\n  }\n}\n',
    source: DOCS('aws_imagebuilder_infrastructure_configuration'),
  },
  {
    name: 'a notebook with version 2',
    code: 'resource "aws_sagemaker_notebook_instance" "x" {\n  instance_metadata_service_configuration {\n    minimum_instance_metadata_service_version = "2"\n  }\n}\n',
    want: [],
    source: 'CKV_AWS_371',
  },
  {
    name: 'a notebook with version 1',
    code: 'resource "aws_sagemaker_notebook_instance" "x" {\n  instance_metadata_service_configuration {\n    minimum_instance_metadata_service_version = "1"\n  }\n}\n',
    want: ['3 imdsv1-allowed'],
    fixed:
      'resource "aws_sagemaker_notebook_instance" "x" {\n  instance_metadata_service_configuration {\n    minimum_instance_metadata_service_version = "2"\n  }\n}\n',
    source: 'CKV_AWS_371',
  },
  {
    name: 'a notebook that says nothing',
    code: 'resource "aws_sagemaker_notebook_instance" "x" {\n  name = "x"\n}\n',
    want: ['1 imdsv1-allowed-by-default'],
    source: 'CKV_AWS_371',
  },
  {
    name: 'EMR with version 2',
    code: 'resource "aws_emr_security_configuration" "x" {\n  configuration = jsonencode({ InstanceMetadataServiceConfiguration = { MinimumInstanceMetadataServiceVersion = 2 } })\n}\n',
    want: [],
    source: 'EMR management guide, security configuration',
  },
  {
    name: 'EMR with version 1',
    code: 'resource "aws_emr_security_configuration" "x" {\n  configuration = jsonencode({ InstanceMetadataServiceConfiguration = { MinimumInstanceMetadataServiceVersion = 1 } })\n}\n',
    want: ['2 imdsv1-allowed'],
    fixed:
      'resource "aws_emr_security_configuration" "x" {\n  configuration = jsonencode({ InstanceMetadataServiceConfiguration = { MinimumInstanceMetadataServiceVersion = 2 } })\n}\n',
    source: 'EMR management guide, security configuration',
  },
  {
    name: 'EMR in a heredoc',
    code: 'resource "aws_emr_security_configuration" "x" {\n  configuration = <<EOF\n{"InstanceMetadataServiceConfiguration": {"MinimumInstanceMetadataServiceVersion": 1}}\nEOF\n}\n',
    want: ['2 imdsv1-allowed'],
    source: 'EMR management guide, security configuration',
  },
  {
    name: 'EMR that says nothing',
    code: 'resource "aws_emr_security_configuration" "x" {\n  configuration = "{}"\n}\n',
    want: ['1 imdsv1-allowed-by-default'],
    source: 'EMR management guide, security configuration',
  },
  ...(
    [
      ['true', []],
      ['false', ['2 imdsv1-allowed']],
    ] as const
  ).map(
    ([value, want]): Case => ({
      name: `Beanstalk with DisableIMDSv1 ${value}`,
      code: `resource "aws_elastic_beanstalk_environment" "x" {\n  setting {\n    namespace = "aws:autoscaling:launchconfiguration"\n    name      = "DisableIMDSv1"\n    value     = "${value}"\n  }\n}\n`,
      want: want.map(() => '5 imdsv1-allowed'),
      source: 'Elastic Beanstalk guide, IMDS',
    }),
  ),
  {
    name: 'Beanstalk on Amazon Linux 2023 requires tokens by default',
    code: 'resource "aws_elastic_beanstalk_environment" "x" {\n  solution_stack_name = "64bit Amazon Linux 2023 v4.0.0 running Python 3.11"\n}\n',
    want: ['1 imdsv2-by-default'],
    source: 'Elastic Beanstalk guide, IMDS',
  },
  {
    name: 'Beanstalk on Amazon Linux 2 allows IMDSv1 by default',
    code: 'resource "aws_elastic_beanstalk_environment" "x" {\n  solution_stack_name = "64bit Amazon Linux 2 v3.5.0 running Python 3.8"\n}\n',
    want: ['1 imdsv1-allowed-by-default'],
    source: 'Elastic Beanstalk guide, IMDS',
  },
  {
    name: 'Beanstalk on an unnamed platform is unknown',
    code: 'resource "aws_elastic_beanstalk_environment" "x" {\n  name = "x"\n}\n',
    want: ['1 imdsv1-unknown'],
    source: 'Elastic Beanstalk guide, IMDS',
  },
  {
    name: 'an image without ImdsSupport',
    code: 'resource "aws_ami" "x" {\n  name = "x"\n}\n',
    want: ['1 image-allows-imdsv1'],
    source: 'EC2 API, ModifyImageAttribute',
  },
  {
    name: 'an image with ImdsSupport',
    code: 'resource "aws_ami" "x" {\n  imds_support = "v2.0"\n}\n',
    want: [],
    source: 'EC2 API, ModifyImageAttribute',
  },
  {
    name: 'an account default that requires tokens',
    code: 'resource "aws_ec2_instance_metadata_defaults" "x" {\n  http_tokens = "required"\n}\n',
    want: [],
    source: DOCS('aws_ec2_instance_metadata_defaults'),
  },
  {
    name: 'an account default that allows IMDSv1',
    code: 'resource "aws_ec2_instance_metadata_defaults" "x" {\n  http_tokens = "optional"\n}\n',
    want: ['2 account-default-allows-imdsv1'],
    fixed: 'resource "aws_ec2_instance_metadata_defaults" "x" {\n  http_tokens = "required"\n}\n',
    source: DOCS('aws_ec2_instance_metadata_defaults'),
  },
  {
    name: 'an account default without a preference',
    code: 'resource "aws_ec2_instance_metadata_defaults" "x" {\n  http_put_response_hop_limit = 1\n}\n',
    want: ['1 account-default-allows-imdsv1'],
    fixed:
      'resource "aws_ec2_instance_metadata_defaults" "x" {\n  http_put_response_hop_limit = 1\n  http_tokens                 = "required"\n}\n',
    source: DOCS('aws_ec2_instance_metadata_defaults'),
  },
  {
    name: 'resources of other kinds have no findings',
    code: 'resource "aws_s3_bucket" "x" {\n  metadata_options {\n    http_tokens = "optional"\n  }\n}\n',
    want: [],
    source: 'AWS provider',
  },
];
testCases('terraform resources of their own kind', 'main.tf', more);
