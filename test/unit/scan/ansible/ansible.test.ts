/** Tests Ansible playbooks and task files. */
import { type Case, testCases } from '../../../support/scan/cases.ts';

const DOCS = 'amazon.aws collection, ec2_instance and ec2_launch_template';
const task = (options: string, module = 'amazon.aws.ec2_instance') =>
  `- name: Launch\n  ${module}:\n    name: web\n    image_id: ami-1\n${options}`;
const options = (text: string) => `    metadata_options:\n      ${text}\n`;

const cases: Case[] = [
  { name: 'required', code: task(options('http_tokens: required')), want: [], source: DOCS },
  {
    name: 'optional',
    code: task(options('http_tokens: optional')),
    want: ['6 imdsv1-allowed'],
    fixed: task(options('http_tokens: required')),
    source: DOCS,
  },
  {
    name: 'silent',
    code: task(''),
    want: ['2 imdsv1-allowed-by-default'],
    fixed: task(options('http_tokens: required')),
    source: 'KICS ansible b9ef8c0e',
  },
  {
    name: 'options without tokens send optional',
    code: task(options('http_endpoint: enabled')),
    want: ['5 imdsv1-allowed-by-default'],
    says: /is http_tokens: optional where metadata_options are given/,
    source: DOCS,
  },
  { name: 'endpoint off', code: task(options('http_endpoint: disabled')), want: [], source: DOCS },
  {
    name: 'a short module name',
    code: task(options('http_tokens: optional'), 'ec2_instance'),
    want: ['6 imdsv1-allowed'],
    source: DOCS,
  },
  {
    name: 'a launch template',
    code: task(options('http_tokens: optional'), 'community.aws.ec2_launch_template'),
    want: ['6 imdsv1-allowed'],
    source: DOCS,
  },
  {
    name: 'a launch configuration',
    code: task('', 'community.aws.autoscaling_launch_config'),
    want: ['2 imdsv1-allowed-by-default'],
    source: 'KICS ansible b9ef8c0e',
  },
  {
    name: 'a task that ends instances',
    code: task('    state: absent\n'),
    want: [],
    source: DOCS,
  },
  {
    name: 'a variable of the play',
    code: `- hosts: all\n  vars:\n    tokens: required\n  tasks:\n    - ec2_instance:\n        name: x\n        metadata_options:\n          http_tokens: "{{ tokens }}"\n`,
    want: [],
    source: 'Ansible user guide, variables',
  },
  {
    name: 'a variable of the play that allows IMDSv1',
    code: `- hosts: all\n  vars:\n    tokens: optional\n  tasks:\n    - ec2_instance:\n        name: x\n        metadata_options:\n          http_tokens: "{{ tokens }}"\n`,
    want: ['8 imdsv1-allowed'],
    fixed: `- hosts: all\n  vars:\n    tokens: required\n  tasks:\n    - ec2_instance:\n        name: x\n        metadata_options:\n          http_tokens: "{{ tokens }}"\n`,
    source: 'Ansible user guide, variables',
  },
  {
    name: 'a variable from elsewhere',
    code: task(options('http_tokens: "{{ tokens }}"')),
    want: ['6 imdsv1-unknown'],
    says: /the variable tokens is not set in this file/,
    source: 'Ansible user guide, variables',
  },
  {
    name: 'an expression',
    code: task(options(`http_tokens: "{{ 'required' if prod else 'optional' }}"`)),
    want: ['6 imdsv1-unknown'],
    source: 'Ansible user guide, templating',
  },
  {
    name: 'a default filter',
    code: task(options(`http_tokens: "{{ tokens | default('required') }}"`)),
    want: [],
    source: 'Ansible user guide, templating',
  },
  {
    name: 'parameters in one text',
    code: '- name: Launch\n  ec2_instance: name=x image_id=ami-1\n',
    want: ['2 imdsv1-allowed-by-default'],
    source: 'Ansible user guide, key=value parameters',
  },
  {
    name: 'defaults of modules and variables are no tasks',
    code: '- hosts: all\n  module_defaults:\n    ec2_instance: {region: r}\n  vars:\n    ec2_instance: {a: b}\n    list: [{ec2_instance: {a: b}}]\n',
    want: [],
    source: 'Ansible user guide, module defaults',
  },
  {
    name: 'tasks inside blocks',
    code: `- hosts: all\n  tasks:\n    - block:\n        - ec2_instance:\n            name: x\n`,
    want: ['4 imdsv1-allowed-by-default'],
    source: 'Ansible user guide, blocks',
  },
  {
    name: 'a launch template elsewhere',
    code: task('    launch_template:\n      id: lt-1\n'),
    want: ['6 imdsv1-unknown'],
    source: DOCS,
  },
];
testCases('ansible tasks', 'tasks.yml', cases);
