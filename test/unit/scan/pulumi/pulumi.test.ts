// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are texts of Pulumi, not of TypeScript.
/** Tests Pulumi programs in YAML. */
import { type Case, testCases } from '../../../support/scan/cases.ts';

const DOCS = 'Pulumi AWS provider';
const program = (properties: string, type = 'aws:ec2:Instance', more = '') =>
  `name: p\nruntime: yaml\nresources:\n  web:\n    type: ${type}\n    properties:\n      ami: ami-1\n${properties}${more}`;
const tokens = (value: string) => `      metadataOptions:\n        httpTokens: ${value}\n`;

const cases: Case[] = [
  { name: 'required', code: program(tokens('required')), want: [], source: DOCS },
  {
    name: 'optional',
    code: program(tokens('optional')),
    want: ['9 imdsv1-allowed'],
    fixed: program(tokens('required')),
    source: DOCS,
  },
  {
    name: 'silent',
    code: program(''),
    want: ['4 imdsv1-allowed-by-default'],
    fixed: program(tokens('required')),
    source: DOCS,
  },
  {
    name: 'the full type name',
    code: program(tokens('optional'), 'aws:ec2/launchTemplate:LaunchTemplate'),
    want: ['9 imdsv1-allowed'],
    source: DOCS,
  },
  {
    name: 'a setting with a default',
    code: program(tokens('${t}'), 'aws:ec2:Instance', 'config:\n  t:\n    default: required\n'),
    want: [],
    source: DOCS,
  },
  {
    name: 'a setting without a default',
    code: program(tokens('${t}'), 'aws:ec2:Instance', 'config:\n  t:\n    type: string\n'),
    want: ['9 imdsv1-unknown'],
    source: DOCS,
  },
  {
    name: 'a group with a template',
    code: program(
      '      launchTemplate:\n        id: ${lt.id}\n',
      'aws:autoscaling:Group',
      '  lt:\n    type: aws:ec2:LaunchTemplate\n    properties:\n      metadataOptions: {httpTokens: required}\n',
    ),
    want: [],
    source: DOCS,
  },
  {
    name: 'an instance that inherits what allows IMDSv1',
    code: program(
      '      launchTemplate:\n        id: ${lt.id}\n',
      'aws:ec2:Instance',
      '  lt:\n    type: aws:ec2:LaunchTemplate\n    properties:\n      metadataOptions: {httpTokens: optional}\n',
    ),
    want: ['13 imdsv1-allowed'],
    source: DOCS,
  },
];
testCases('pulumi programs', 'Pulumi.yaml', cases);
