// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are texts of other languages.
/** Tests with damaged and arbitrary files: nothing crashes, positions lie inside, fixes converge. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { SourceFile } from '../../../scan/source_file.ts';
import { checkPositions } from '../../support/scan/cases.ts';
import { fixTexts, scanFiles } from '../../support/scan/scan_texts.ts';

const SEEDS: readonly [string, string][] = [
  [
    'main.tf',
    'variable "t" {\n  default = "optional" # é\n}\nlocals {\n  m = { for k, v in { a = 1 } : k => v }\n}\nresource "aws_instance" "x" {\n  count = 2\n  metadata_options {\n    http_endpoint = "enabled"\n    http_tokens   = var.t == "x" ? "required" : lookup(local.m, "b", "optional")\n  }\n}\nresource "aws_launch_template" "y" { }\nmodule "m" {\n  source  = "terraform-aws-modules/ec2-instance/aws"\n  version = "~> 5.7.0"\n}\n',
  ],
  [
    'main.tf.json',
    '{"variable": {"t": {"default": "optional"}}, "resource": {"aws_instance": {"x": {"ami": "a", "metadata_options": [{"http_tokens": "${var.t}"}]}}, "aws_launch_template": {"y": {"name": "y"}}}}\n',
  ],
  [
    't.yaml',
    'Parameters:\n  T: {Type: String, Default: optional}\nResources:\n  A:\n    Type: AWS::EC2::Instance\n    Properties:\n      MetadataOptions:\n        HttpTokens: !Ref T\n  B:\n    Type: AWS::EC2::LaunchTemplate\n    Properties:\n      LaunchTemplateData: {ImageId: ami-1}\n  C:\n    Type: AWS::EC2::Instance\n    Properties:\n      UserData: |\n        x\n',
  ],
  ['t.json', '{"Resources": {"A": {"Type": "AWS::EC2::Instance", "Properties": {"ImageId": "ami-1"}}}}\n'],
  [
    'n.yaml',
    'apiVersion: karpenter.k8s.aws/v1\nkind: EC2NodeClass\nmetadata: {name: n}\nspec:\n  metadataOptions:\n    httpTokens: optional # x\n---\napiVersion: eksctl.io/v1alpha5\nkind: ClusterConfig\nnodeGroups:\n  - name: a\n    disableIMDSv1: false\n',
  ],
  [
    'p.pkr.hcl',
    'source "amazon-ebs" "x" {\n  metadata_options { http_endpoint = "enabled" }\n}\nsource "amazon-ebs" "y" {}\n',
  ],
  ['p.json', '{"builders": [{"type": "amazon-ebs"}]}\n'],
  [
    'a.yml',
    '- hosts: all\n  vars: {t: optional}\n  tasks:\n    - amazon.aws.ec2_instance:\n        name: x\n        metadata_options:\n          http_tokens: "{{ t }}"\n    - ec2_launch_template:\n        name: y\n',
  ],
  [
    'Pulumi.yaml',
    'runtime: yaml\nresources:\n  w:\n    type: aws:ec2:Instance\n    properties:\n      ami: a\n',
  ],
  [
    'plan.json',
    '{"terraform_version": "1", "resource_changes": [{"address": "aws_instance.x", "type": "aws_instance", "change": {"actions": ["create"], "after": {"metadata_options": [{"http_tokens": "optional"}]}, "after_unknown": {}}}]}\n',
  ],
];

/** A damage: removes, repeats or inserts something at a place of the text. */
const damage = fc.record({
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  length: fc.nat(30),
  kind: fc.constantFrom('remove', 'repeat', 'insert'),
  text: fc.oneof(
    fc.string({ maxLength: 6 }),
    fc.constantFrom(
      '{',
      '}',
      '"',
      '\n',
      '\r\n',
      '${',
      '}}',
      '- ',
      ': ',
      '!If [',
      '#',
      '<<EOF\n',
      '\u2028',
      '\t',
      '&a *a',
      'é',
    ),
  ),
});

function damaged(
  text: string,
  damages: readonly { at: number; length: number; kind: string; text: string }[],
): string {
  return damages.reduce((current, { at, length, kind, text: inserted }) => {
    const start = Math.floor(at * current.length);
    const piece = current.slice(start, start + length);
    const middle = kind === 'remove' ? '' : kind === 'repeat' ? piece + piece : inserted + piece;
    return current.slice(0, start) + middle + current.slice(start + length);
  }, text);
}

describe('scan of damaged files', () => {
  for (const [path, seed] of SEEDS) {
    it(`${path}: no crash, positions inside, fixes converge`, async () => {
      await fc.assert(
        fc.asyncProperty(fc.array(damage, { maxLength: 4 }), async (damages) => {
          const text = damaged(seed, damages).toWellFormed();
          const { findings, problems, open } = await scanFiles([SourceFile.fromText(path, text)]);
          for (const { message } of problems) assert.doesNotMatch(message, /reader failed/);
          for (const finding of findings) checkPositions(finding, open);
          const first = await fixTexts({ [path]: text });
          assert.deepEqual(
            first.remaining.filter(({ fix }) => fix !== undefined),
            [],
          );
          const second = await fixTexts(first.texts);
          assert.deepEqual(second.texts, first.texts);
        }),
        { numRuns: 60 },
      );
    });
  }

  it('a file that cannot be parsed in full is not edited', async () => {
    const text = 'source "amazon-ebs" "x" {\nsource "amazon-ebs" "x" {\n  region = "r"\n}\n';
    const { findings, problems } = await scanFiles([SourceFile.fromText('p.pkr.hcl', text)]);
    assert.ok(findings.length > 0);
    assert.equal(problems.length, 1);
    assert.ok(findings.every(({ fix }) => fix === undefined));
  });

  it('any bytes under any name', async () => {
    const names = SEEDS.map(([path]) => path);
    await fc.assert(
      fc.asyncProperty(fc.constantFrom(...names), fc.uint8Array({ maxLength: 300 }), async (path, bytes) => {
        const { findings, problems, open } = await scanFiles([new SourceFile(path, bytes)]);
        for (const { message } of problems) assert.doesNotMatch(message, /reader failed/);
        for (const finding of findings) checkPositions(finding, open);
      }),
      { numRuns: 200 },
    );
  });

  for (const [name, path, text] of [
    ['nested blocks', 'deep.tf', 'a {\n'.repeat(20_000)],
    [
      'nested parentheses',
      'deep.tf',
      `locals {\n  a = ${'('.repeat(20_000)}1\n}\nresource "aws_instance" "x" {}\n`,
    ],
    ['nested lists of JSON', 'deep.json', `{"Resources": "AWS::EC2", "x": ${'['.repeat(100_000)}}`],
    ['nested lists of YAML', 'deep.yaml', `Resources: AWS::EC2\nx: ${'['.repeat(20_000)}`],
    [
      'aliases that multiply',
      'bomb.yaml',
      `Resources: AWS::EC2\na0: &a0 [x,x,x,x,x,x,x,x,x]\n${Array.from({ length: 12 }, (_, at) => `a${at + 1}: &a${at + 1} [${Array(9).fill(`*a${at}`).join(',')}]\n`).join('')}`,
    ],
    [
      'locals in a long chain',
      'chain.tf',
      `locals {\n${Array.from({ length: 3000 }, (_, at) => `  l${at} = local.l${at + 1}\n`).join('')}}\nresource "aws_instance" "x" {\n  metadata_options {\n    http_tokens = local.l0\n  }\n}\n`,
    ],
    [
      'locals that wait for each other',
      'deep.tf',
      `locals {\n${Array.from({ length: 20_000 }, (_, at) => `  l${at} = [local.l${at + 1}, local.l${at + 1}]\n`).join('')}}\nresource "aws_instance" "x" {\n  metadata_options {\n    http_tokens = local.l0\n  }\n}\n`,
    ],
    [
      'texts that double',
      'double.tf',
      `locals {\n  t0 = "xxxxxxxxxxxxxxxx"\n${Array.from({ length: 60 }, (_, at) => `  t${at + 1} = "\${local.t${at}}\${local.t${at}}"\n`).join('')}}\nresource "aws_instance" "x" {\n  metadata_options {\n    http_tokens = local.t60\n  }\n}\n`,
    ],
    [
      'lists that double',
      'double.tf',
      `locals {\n  a0 = [1]\n${Array.from({ length: 60 }, (_, at) => `  a${at + 1} = concat(local.a${at}, local.a${at})\n`).join('')}}\nresource "aws_instance" "x" {\n  metadata_options {\n    http_tokens = local.a60[0]\n  }\n}\n`,
    ],
    [
      'a template in one line',
      'line.json',
      `{"é": 1, "Resources": {${Array.from({ length: 10_000 }, (_, at) => `"R${at}": {"Type": "AWS::EC2::Instance", "Properties": {"ImageId": "a"}}`).join(', ')}}}`,
    ],
    ['a module in one line', 'line.tf', 'resource "aws_instance" "x" {} '.repeat(5_000)],
    ['quotes without end', 'quotes.tf', '"'.repeat(200_000)],
    [
      'a loop that multiplies',
      'loop.tf',
      `locals {\n  a = [for x in range(1000) : [for y in range(1000) : [for z in range(1000) : z]]]\n}\nresource "aws_instance" "x" {\n  metadata_options {\n    http_tokens = local.a[0][0][0]\n  }\n}\n`,
    ],
  ] as const) {
    it(`${name} end within bounds`, { timeout: 20_000 }, async () => {
      const { findings, problems, open } = await scanFiles([SourceFile.fromText(path, text)]);
      for (const { message } of problems) assert.doesNotMatch(message, /reader failed/);
      for (const finding of findings.slice(0, 20)) checkPositions(finding, open);
    });
  }
});
