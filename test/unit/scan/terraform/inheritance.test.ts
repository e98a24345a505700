/** Tests the order of precedence: instance, launch template, account default, image; groups and modules. */
import { type Case, testCases } from '../../../support/scan/cases.ts';

const PRECEDENCE = 'EC2 user guide, order of precedence for instance metadata options';
const block = (value: string) => `  metadata_options {\n    http_tokens = "${value}"\n  }\n`;
const template = (body: string, name = 't') => `resource "aws_launch_template" "${name}" {\n${body}}\n`;
const using = (body: string, type = 'aws_instance', id = 'id = aws_launch_template.t.id') =>
  `resource "${type}" "x" {\n  launch_template {\n    ${id}\n  }\n${body}}\n`;
const account = (value: string, more = '') =>
  `resource "aws_ec2_instance_metadata_defaults" "d" {\n  http_tokens = "${value}"\n${more}}\n`;

const cases: Case[] = [
  {
    name: 'template required, instance silent',
    code: using('') + template(block('required')),
    want: [],
    source: PRECEDENCE,
  },
  {
    name: 'template optional, instance silent: one finding, at the template',
    code: using('') + template(block('optional')),
    want: ['8 imdsv1-allowed'],
    says: /aws_instance\.x uses it/,
    source: PRECEDENCE,
  },
  {
    name: 'template silent, instance silent: one finding, at the template',
    code: using('') + template('  name = "t"\n'),
    want: ['6 imdsv1-allowed-by-default'],
    source: PRECEDENCE,
  },
  {
    name: 'instance required wins over a template that is optional',
    code: using(block('required')) + template(block('optional')),
    want: ['11 imdsv1-allowed'],
    source: 'Trivy has it the other way round: iac.md, defect 6',
  },
  {
    name: 'instance optional wins over a template that is required',
    code: using(block('optional')) + template(block('required')),
    want: ['6 imdsv1-allowed'],
    source: 'Trivy has it the other way round: iac.md, defect 6',
  },
  {
    name: 'a template that turns the endpoint off',
    code: using('') + template('  metadata_options {\n    http_endpoint = "disabled"\n  }\n'),
    want: [],
    source: PRECEDENCE,
  },
  {
    name: 'instance optional, endpoint turned off by the template',
    code: using(block('optional')) + template('  metadata_options {\n    http_endpoint = "disabled"\n  }\n'),
    want: [],
    source: 'each option by itself: enforce.md, section 3',
  },
  {
    name: 'a template by its name',
    code: using('', 'aws_instance', 'name = "web"') + template(`  name = "web"\n${block('required')}`),
    want: [],
    source: 'AWS provider, aws_instance',
  },
  {
    name: 'a template by the name of the resource',
    code: using('', 'aws_instance', 'name = aws_launch_template.t.name') + template(block('required')),
    want: [],
    source: 'AWS provider, aws_instance',
  },
  {
    name: 'a template that is not in the code',
    code: using('', 'aws_instance', 'id = "lt-0123"'),
    want: ['3 imdsv1-unknown'],
    says: /launch template lt-0123 is not in the scanned code/,
    source: PRECEDENCE,
  },
  {
    name: 'a template that is not in the code, and an instance that decides',
    code: using(block('required'), 'aws_instance', 'id = "lt-0123"'),
    want: [],
    source: PRECEDENCE,
  },
  {
    name: 'a template of a data source',
    code: using('', 'aws_instance', 'id = data.aws_launch_template.t.id'),
    want: ['3 imdsv1-unknown'],
    says: /is looked up when Terraform runs/,
    source: PRECEDENCE,
  },
  {
    name: 'a group with a template that is required',
    code: using('', 'aws_autoscaling_group') + template(block('required')),
    want: [],
    source: 'AWS provider, aws_autoscaling_group',
  },
  {
    name: 'a group with a template that is optional',
    code: using('', 'aws_autoscaling_group') + template(block('optional')),
    want: ['8 imdsv1-allowed'],
    says: /aws_autoscaling_group\.x uses it/,
    source: 'AWS provider, aws_autoscaling_group',
  },
  {
    name: 'a group with a template elsewhere',
    code: `${using('', 'aws_autoscaling_group', 'id = var.t')}variable "t" {}\n`,
    want: ['3 imdsv1-unknown'],
    says: /its launch template is not known: var\.t has no default/,
    source: 'AWS provider, aws_autoscaling_group',
  },
  {
    name: 'a group with a launch configuration',
    code: `resource "aws_autoscaling_group" "x" {\n  launch_configuration = aws_launch_configuration.c.name\n}\nresource "aws_launch_configuration" "c" {\n${block('required')}}\n`,
    want: [],
    source: 'AWS provider, aws_autoscaling_group',
  },
  {
    name: 'a group with mixed instances, one template optional',
    code:
      'resource "aws_autoscaling_group" "x" {\n  mixed_instances_policy {\n    launch_template {\n      launch_template_specification {\n        launch_template_id = aws_launch_template.a.id\n      }\n      override {\n        launch_template_specification {\n          launch_template_id = aws_launch_template.b.id\n        }\n      }\n    }\n  }\n}\n' +
      template(block('required'), 'a') +
      template(block('optional'), 'b'),
    want: ['22 imdsv1-allowed'],
    says: /aws_autoscaling_group\.x uses it/,
    source: 'AWS provider, aws_autoscaling_group',
  },
  {
    name: 'a fleet',
    code:
      'resource "aws_ec2_fleet" "x" {\n  launch_template_config {\n    launch_template_specification {\n      launch_template_id = aws_launch_template.t.id\n    }\n  }\n}\n' +
      template(block('required')),
    want: [],
    source: 'AWS provider, aws_ec2_fleet',
  },
  {
    name: 'a spot fleet with a template',
    code:
      'resource "aws_spot_fleet_request" "x" {\n  launch_template_config {\n    launch_template_specification {\n      id = aws_launch_template.t.id\n    }\n  }\n}\n' +
      template(block('required')),
    want: [],
    source: 'AWS provider, aws_spot_fleet_request',
  },
  {
    name: 'an EKS node group with a template',
    code: using('', 'aws_eks_node_group') + template(block('required')),
    want: [],
    source: 'AWS provider, aws_eks_node_group',
  },
  {
    name: 'an EKS node group without a template is unknown',
    code: 'resource "aws_eks_node_group" "x" {\n  node_group_name = "x"\n}\n',
    want: ['1 imdsv1-unknown'],
    says: /Amazon EKS makes the launch template/,
    source: 'AWS provider, aws_eks_node_group',
  },
  {
    name: 'the account default decides where the instance is silent',
    code: `resource "aws_instance" "x" {}\n${account('required')}`,
    want: ['1 imdsv2-by-default'],
    says: /sets the account default "required"/,
    source: PRECEDENCE,
  },
  {
    name: 'the account default allows IMDSv1',
    code: `resource "aws_instance" "x" {}\n${account('optional')}`,
    want: ['1 imdsv1-allowed-by-default', '3 account-default-allows-imdsv1'],
    source: PRECEDENCE,
  },
  {
    name: 'the account default changes nothing for what is said',
    code: `resource "aws_instance" "x" {\n${block('optional')}}\n${account('required')}`,
    want: ['3 imdsv1-allowed'],
    source: PRECEDENCE,
  },
  {
    name: 'the account default of another region does not count',
    code: `provider "aws" {\n  region = "eu-west-1"\n}\nprovider "aws" {\n  alias  = "us"\n  region = "us-east-1"\n}\nresource "aws_instance" "x" {}\n${account('required', '  provider = aws.us\n')}`,
    want: ['8 imdsv1-allowed-by-default'],
    source: 'aws_ec2_instance_metadata_defaults is per region',
  },
  {
    name: 'the account default of the same region counts, by another alias',
    code: `provider "aws" {\n  alias = "a"\n  region = "us-east-1"\n}\nprovider "aws" {\n  region = "us-east-1"\n}\nresource "aws_instance" "x" {\n  provider = aws.a\n}\n${account('required')}`,
    want: ['8 imdsv2-by-default'],
    source: 'aws_ec2_instance_metadata_defaults is per region',
  },
  {
    name: 'the account default counts inside modules',
    code: {
      'main.tf': `module "m" {\n  source = "./m"\n}\n${account('required')}`,
      'm/main.tf': 'resource "aws_instance" "x" {}\n',
    },
    want: ['m/main.tf:1 imdsv2-by-default'],
    source: PRECEDENCE,
  },
  {
    name: 'the account default of the region that a module is given',
    code: {
      'main.tf': `provider "aws" {\n  alias  = "us"\n  region = "us-east-1"\n}\nmodule "m" {\n  source = "./m"\n  providers = { aws = aws.us }\n}\n${account('required', '  provider = aws.us\n')}`,
      'm/main.tf': 'resource "aws_instance" "x" {}\n',
    },
    want: ['m/main.tf:1 imdsv2-by-default'],
    source: 'Terraform language, providers within modules',
  },
  {
    name: 'an image that asks for tokens',
    code: 'resource "aws_instance" "x" {\n  ami = aws_ami.a.id\n}\nresource "aws_ami" "a" {\n  imds_support = "v2.0"\n}\n',
    want: ['1 imdsv2-by-default'],
    says: /aws_ami\.a has ImdsSupport v2\.0/,
    source: PRECEDENCE,
  },
  {
    name: 'an account default of optional wins over such an image',
    code: `resource "aws_instance" "x" {\n  ami = aws_ami.a.id\n}\nresource "aws_ami" "a" {\n  imds_support = "v2.0"\n}\n${account('optional')}`,
    want: ['1 imdsv1-allowed-by-default', '8 account-default-allows-imdsv1'],
    source: PRECEDENCE,
  },
  {
    name: 'no preference of the account leaves it to the image',
    code: `resource "aws_instance" "x" {\n  ami = aws_ami.a.id\n}\nresource "aws_ami" "a" {\n  imds_support = "v2.0"\n}\n${account('no-preference')}`,
    want: ['1 imdsv2-by-default', '8 account-default-allows-imdsv1'],
    source: PRECEDENCE,
  },
  {
    name: 'Amazon Linux 2023 asks for tokens',
    code: 'data "aws_ami" "a" {\n  filter {\n    name   = "name"\n    values = ["al2023-ami-*-x86_64"]\n  }\n}\nresource "aws_instance" "x" {\n  ami = data.aws_ami.a.id\n}\n',
    want: ['7 imdsv2-by-default'],
    says: /Amazon Linux 2023/,
    source: 'Amazon Linux 2023 user guide, IMDSv2',
  },
  {
    name: 'Amazon Linux 2023 by a parameter',
    code: 'data "aws_ssm_parameter" "a" {\n  name = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64"\n}\nresource "aws_instance" "x" {\n  ami = data.aws_ssm_parameter.a.value\n}\n',
    want: ['4 imdsv2-by-default'],
    source: 'Amazon Linux 2023 user guide, IMDSv2',
  },
  {
    name: 'another image by name is not known',
    code: 'data "aws_ami" "a" {\n  filter {\n    name   = "name"\n    values = ["amzn2-ami-*"]\n  }\n}\nresource "aws_instance" "x" {\n  ami = data.aws_ami.a.id\n}\n',
    want: ['7 imdsv1-allowed-by-default'],
    source: PRECEDENCE,
  },
  {
    name: 'a template from a module output',
    code: {
      'main.tf':
        'module "t" {\n  source = "./t"\n}\nresource "aws_autoscaling_group" "x" {\n  launch_template {\n    id = module.t.id\n  }\n}\n',
      't/main.tf': `${template(block('required'))}output "id" {\n  value = aws_launch_template.t.id\n}\n`,
    },
    want: [],
    source: 'Terraform language, outputs',
  },
  {
    name: 'a hop limit of 1 on an ECS instance',
    code: 'resource "aws_launch_template" "x" {\n  user_data = base64encode("echo ECS_CLUSTER=a >> /etc/ecs/ecs.config")\n  metadata_options {\n    http_tokens = "required"\n    http_put_response_hop_limit = 1\n  }\n}\n',
    want: ['5 hop-limit-too-low'],
    says: /joins an ECS cluster/,
    source: 'iac.md, wish 6',
  },
  {
    name: 'a hop limit of 2 on an ECS instance',
    code: 'resource "aws_launch_template" "x" {\n  user_data = base64encode("echo ECS_CLUSTER=a >> /etc/ecs/ecs.config")\n  metadata_options {\n    http_tokens = "required"\n    http_put_response_hop_limit = 2\n  }\n}\n',
    want: [],
    source: 'iac.md, wish 6',
  },
  {
    name: 'a hop limit of 2 where the user data starts no containers',
    code: 'resource "aws_instance" "x" {\n  user_data = "#!/bin/sh\\nsystemctl start nginx"\n  metadata_options {\n    http_tokens = "required"\n    http_put_response_hop_limit = 2\n  }\n}\n',
    want: ['5 hop-limit-too-high'],
    says: /starts no containers/,
    source: 'CKV_AWS_341, with a reason',
  },
  {
    name: 'a hop limit of 2 without user data gives no finding',
    code: 'resource "aws_instance" "x" {\n  metadata_options {\n    http_tokens = "required"\n    http_put_response_hop_limit = 2\n  }\n}\n',
    want: [],
    source: 'iac.md, defect 11',
  },
  {
    name: 'a hop limit beyond all networks',
    code: 'resource "aws_instance" "x" {\n  metadata_options {\n    http_tokens = "required"\n    http_put_response_hop_limit = 64\n  }\n}\n',
    want: ['4 hop-limit-too-high'],
    source: 'iac.md, wish 6',
  },
];
testCases('terraform precedence', 'main.tf', cases);

const EC2 = 'terraform-aws-modules/ec2-instance/aws';
const ASG = 'terraform-aws-modules/autoscaling/aws';
const EKS = 'terraform-aws-modules/eks/aws';
const call = (source: string, version: string | null, body = '') =>
  `module "m" {\n  source = "${source}"\n${version === null ? '' : `  version = "${version}"\n`}${body}}\n`;
const REQUIRED = ['1 imdsv2-by-default'];
const ALLOWED = ['1 imdsv1-allowed-by-default'];
const releases: [string, string, string | null, string, string[]][] = [
  ['5.7.1 by default', EC2, '5.7.1', '', ALLOWED],
  ['~> 5.7.0 by default', EC2, '~> 5.7.0', '', ALLOWED],
  ['< 5.8 by default', EC2, '>= 5.0, < 5.8', '', ALLOWED],
  ['5.8.0 by default', EC2, '5.8.0', '', REQUIRED],
  ['~> 5.0 by default, which is 5.8 or later', EC2, '~> 5.0', '', REQUIRED],
  ['~> 6.0 by default', EC2, '~> 6.0', '', REQUIRED],
  ['without a version', EC2, null, '', REQUIRED],
  ['>= 5.0 by default', EC2, '>= 5.0', '', REQUIRED],
  [
    '6.0 with a partial map',
    EC2,
    '6.0.0',
    '  metadata_options = { http_endpoint = "enabled" }\n',
    ['4 imdsv2-by-default'],
  ],
  [
    '5.8 with an empty map has no block',
    EC2,
    '5.8.0',
    '  metadata_options = {}\n',
    ['4 imdsv1-allowed-by-default'],
  ],
  ['6.0 with an empty map', EC2, '6.0.0', '  metadata_options = {}\n', ['4 imdsv2-by-default']],
  [
    '6.0 with tokens optional',
    EC2,
    '6.0.0',
    '  metadata_options = { http_tokens = "optional" }\n',
    ['4 imdsv1-allowed'],
  ],
  ['5.0 with tokens required', EC2, '5.0.0', '  metadata_options = { http_tokens = "required" }\n', []],
  ['5.0 with the endpoint off', EC2, '5.0.0', '  metadata_options = { http_endpoint = "disabled" }\n', []],
  ['8.3.1 by default', ASG, '8.3.1', '', ALLOWED],
  [
    '~> 6.0 with a partial map',
    ASG,
    '~> 6.0',
    '  metadata_options = { http_endpoint = "enabled" }\n',
    ['4 imdsv1-allowed-by-default'],
  ],
  ['9.0.0 by default', ASG, '9.0.0', '', REQUIRED],
  [
    '9.x with tokens optional',
    ASG,
    '~> 9.0',
    '  metadata_options = {\n    http_tokens = "optional"\n  }\n',
    ['5 imdsv1-allowed'],
  ],
  [
    '20 with a node group',
    EKS,
    '~> 20.0',
    '  eks_managed_node_groups = { a = {} }\n',
    ['4 imdsv2-by-default'],
  ],
  [
    '21 with a node group',
    EKS,
    '~> 21.0',
    '  eks_managed_node_groups = { a = {} }\n',
    ['4 imdsv2-by-default'],
  ],
  [
    '20 with a partial map',
    EKS,
    '~> 20.0',
    '  eks_managed_node_groups = {\n    a = { metadata_options = { http_endpoint = "enabled" } }\n  }\n',
    ['5 imdsv1-allowed-by-default'],
  ],
  [
    '20 with tokens optional',
    EKS,
    '~> 20.0',
    '  eks_managed_node_groups = {\n    a = { metadata_options = { http_tokens = "optional" } }\n  }\n',
    ['5 imdsv1-allowed'],
  ],
  [
    '20 with defaults for all groups',
    EKS,
    '~> 20.0',
    '  eks_managed_node_group_defaults = {\n    metadata_options = { http_tokens = "optional" }\n  }\n  eks_managed_node_groups = { a = {} }\n',
    ['5 imdsv1-allowed'],
  ],
  ['without node groups', EKS, '~> 20.0', '', []],
  [
    'with node groups that are not known',
    EKS,
    '~> 20.0',
    '  eks_managed_node_groups = var.g\n',
    ['4 imdsv1-unknown'],
  ],
  ['a node group module by itself', `${EKS}//modules/eks-managed-node-group`, '~> 20.0', '', REQUIRED],
  ['another part of the module', `${EKS}//modules/karpenter`, '~> 20.0', '', []],
  ['cloudposse by default', 'cloudposse/ec2-instance/aws', '1.6.0', '', REQUIRED],
  [
    'cloudposse turned off',
    'cloudposse/ec2-instance/aws',
    '1.6.0',
    '  metadata_http_tokens_required = false\n',
    ['4 imdsv1-allowed'],
  ],
  [
    'a Git address',
    'git::https://github.com/terraform-aws-modules/terraform-aws-ec2-instance.git?ref=v5.7.1',
    null,
    '',
    ALLOWED,
  ],
  [
    'a Git address of a branch',
    'git::https://github.com/terraform-aws-modules/terraform-aws-ec2-instance.git?ref=main',
    null,
    '',
    ['1 imdsv1-unknown'],
  ],
  ['another module', 'example/other/aws', '1.0.0', '', []],
];
testCases(
  'terraform registry modules',
  'main.tf',
  releases.map(
    ([name, source, version, body, want]): Case => ({
      name: `${source} ${name}`,
      code: call(source, version, body),
      want,
      source: 'iac.md, module and tool defaults',
    }),
  ),
);
