/** Tests plans and state files that Terraform writes. */
import { type Case, testCases } from '../../../support/scan/cases.ts';

const FORMAT = 'Terraform JSON output format';
const change = (type: string, after: object, unknowns: object = {}, more: object = {}) => ({
  address: `${type}.x`,
  mode: 'managed',
  type,
  name: 'x',
  change: { actions: ['create'], after, after_unknown: unknowns },
  ...more,
});
const plan = (changes: object[], configuration: object = {}) =>
  `${JSON.stringify({ format_version: '1.2', terraform_version: '1.9.0', resource_changes: changes, configuration })}\n`;
const tokens = (value: string) => ({ metadata_options: [{ http_tokens: value, http_endpoint: 'enabled' }] });

const cases: Case[] = [
  { name: 'required', code: plan([change('aws_instance', tokens('required'))]), want: [], source: FORMAT },
  {
    name: 'optional',
    code: plan([change('aws_instance', tokens('optional'))]),
    want: ['1 imdsv1-allowed'],
    source: FORMAT,
  },
  {
    name: 'known after apply',
    code: plan([change('aws_instance', {}, { metadata_options: true })]),
    want: ['1 imdsv1-unknown'],
    says: /http_tokens is known only after apply/,
    source: 'bridgecrewio/checkov#5472',
  },
  {
    name: 'tokens known after apply',
    code: plan([
      change(
        'aws_instance',
        { metadata_options: [{ http_endpoint: 'enabled' }] },
        { metadata_options: [{ http_tokens: true }] },
      ),
    ]),
    want: ['1 imdsv1-unknown'],
    source: 'bridgecrewio/checkov#5472',
  },
  {
    name: 'a template without the block',
    code: plan([change('aws_launch_template', { metadata_options: [] })]),
    want: ['1 imdsv1-allowed-by-default'],
    source: FORMAT,
  },
  {
    name: 'what is deleted does not count',
    code: plan([
      change('aws_instance', tokens('optional'), {}, { change: { actions: ['delete'], after: null } }),
    ]),
    want: [],
    source: FORMAT,
  },
  {
    name: 'a group whose template is made by the plan',
    code: plan(
      [
        change('aws_autoscaling_group', { launch_template: [{}] }, { launch_template: [{ id: true }] }),
        change('aws_launch_template', tokens('required')),
      ],
      {
        root_module: {
          resources: [
            {
              address: 'aws_autoscaling_group.x',
              expressions: {
                launch_template: [
                  { id: { references: ['aws_launch_template.x.id', 'aws_launch_template.x'] } },
                ],
              },
            },
          ],
        },
      },
    ),
    want: [],
    source: FORMAT,
  },
  {
    name: 'the endpoint off',
    code: plan([
      change('aws_instance', { metadata_options: [{ http_tokens: 'optional', http_endpoint: 'disabled' }] }),
    ]),
    want: [],
    source: FORMAT,
  },
  {
    name: 'resources of other kinds',
    code: plan([change('aws_s3_bucket', {})]),
    want: [],
    source: FORMAT,
  },
];
testCases('terraform plans', 'plan.json', cases);

const state = (type: string, attributes: object) =>
  `${JSON.stringify({ version: 4, terraform_version: '1.9.0', resources: [{ mode: 'managed', type, name: 'x', instances: [{ attributes }] }] })}\n`;
testCases('terraform state', 'terraform.tfstate', [
  {
    name: 'an instance that answers IMDSv1',
    code: state('aws_instance', { id: 'i-1', ...tokens('optional') }),
    want: ['1 imdsv1-allowed'],
    source: FORMAT,
  },
  {
    name: 'an instance that requires tokens',
    code: state('aws_instance', { id: 'i-1', ...tokens('required') }),
    want: [],
    source: FORMAT,
  },
  {
    name: 'a group with the id of its template',
    code: `${JSON.stringify({
      version: 4,
      terraform_version: '1.9.0',
      resources: [
        {
          mode: 'managed',
          type: 'aws_autoscaling_group',
          name: 'g',
          instances: [{ attributes: { name: 'g', launch_template: [{ id: 'lt-1' }] } }],
        },
        {
          mode: 'managed',
          type: 'aws_launch_template',
          name: 't',
          instances: [{ attributes: { id: 'lt-1', ...tokens('required') } }],
        },
      ],
    })}\n`,
    want: [],
    source: FORMAT,
  },
]);
