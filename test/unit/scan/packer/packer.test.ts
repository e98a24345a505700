// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are templates of Packer, not of TypeScript.
/** Tests Packer templates in HCL and JSON. */
import { type Case, testCases } from '../../../support/scan/cases.ts';

const DOCS = 'Packer, Amazon EBS builder';
const source = (body: string) => `source "amazon-ebs" "x" {\n  region = "us-east-1"\n${body}}\n`;
const options = (value: string) => `  metadata_options {\n    http_tokens = ${value}\n  }\n`;
const SUPPORT = '  imds_support = "v2.0"\n';

const cases: Case[] = [
  { name: 'required and v2.0', code: source(SUPPORT + options('"required"')), want: [], source: DOCS },
  {
    name: 'optional',
    code: source(SUPPORT + options('"optional"')),
    want: ['5 imdsv1-allowed'],
    fixed: source(SUPPORT + options('"required"')),
    source: DOCS,
  },
  {
    name: 'silent',
    code: source(SUPPORT),
    want: ['1 imdsv1-allowed-by-default'],
    fixed:
      'source "amazon-ebs" "x" {\n  region = "us-east-1"\n  imds_support = "v2.0"\n\n  metadata_options {\n    http_tokens = "required"\n  }\n}\n',
    source: DOCS,
  },
  {
    name: 'the image does not ask for tokens',
    code: source(options('"required"')),
    want: ['1 image-allows-imdsv1'],
    source: 'EC2 API, RegisterImage',
  },
  {
    name: 'a variable',
    code: `${source(SUPPORT + options('var.t'))}variable "t" {\n  default = "required"\n}\n`,
    want: [],
    source: DOCS,
  },
  {
    name: 'a variable without a default',
    code: `${source(SUPPORT + options('var.t'))}variable "t" {}\n`,
    want: ['5 imdsv1-unknown'],
    source: DOCS,
  },
  {
    name: 'an automatic variable file',
    code: {
      'x.pkr.hcl': `${source(SUPPORT + options('var.t'))}variable "t" {}\n`,
      'x.auto.pkrvars.hcl': 't = "optional"\n',
    },
    want: ['5 imdsv1-allowed'],
    source: DOCS,
  },
  {
    name: 'a variable of another file',
    code: {
      'x.pkr.hcl': source(SUPPORT + options('var.t')),
      'variables.pkr.hcl': 'variable "t" {\n  default = "required"\n}\n',
    },
    want: [],
    source: DOCS,
  },
  {
    name: 'a local block',
    code: `${source(SUPPORT + options('local.t'))}local "t" {\n  expression = "optional"\n}\n`,
    want: ['5 imdsv1-allowed'],
    source: DOCS,
  },
  { name: 'another builder', code: 'source "googlecompute" "x" {}\n# amazon-ebs\n', want: [], source: DOCS },
];
testCases('packer in HCL', 'x.pkr.hcl', cases);

const json = (builder: string, variables = '{}') =>
  `{"variables": ${variables}, "builders": [{"type": "amazon-ebs", "imds_support": "v2.0"${builder}}]}\n`;
testCases('packer in JSON', 'x.json', [
  {
    name: 'required',
    code: json(', "metadata_options": {"http_tokens": "required"}'),
    want: [],
    source: DOCS,
  },
  {
    name: 'optional',
    code: json(', "metadata_options": {"http_tokens": "optional"}'),
    want: ['1 imdsv1-allowed'],
    fixed: json(', "metadata_options": {"http_tokens": "required"}'),
    source: DOCS,
  },
  {
    name: 'silent',
    code: json(''),
    want: ['1 imdsv1-allowed-by-default'],
    fixed: json(', "metadata_options": { "http_tokens": "required" }'),
    source: DOCS,
  },
  {
    name: 'a user variable',
    code: json(', "metadata_options": {"http_tokens": "{{user `t`}}"}', '{"t": "required"}'),
    want: [],
    source: DOCS,
  },
  {
    name: 'a user variable without a value',
    code: json(', "metadata_options": {"http_tokens": "{{user `t`}}"}', '{"t": null}'),
    want: ['1 imdsv1-unknown'],
    source: DOCS,
  },
]);
