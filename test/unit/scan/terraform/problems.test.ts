/** Tests what Terraform code cannot be judged, and that it is said. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { scanTexts, shortFindings } from '../../../support/scan/scan_texts.ts';

describe('terraform code that cannot be judged', () => {
  it('names a local module that is not there', async () => {
    const { problems } = await scanTexts({ 'main.tf': 'module "m" {\n  source = "./missing"\n}\n' });
    assert.deepEqual(
      problems.map(({ path, range, message }) => [path, range?.start.line, message]),
      [
        [
          'main.tf',
          1,
          'The source of module.m, missing, is not in the scanned code, so its resources are not judged.',
        ],
      ],
    );
  });

  it('ends modules that call each other, and says so', async () => {
    const { problems } = await scanTexts({
      'main.tf': 'module "a" {\n  source = "./a"\n}\n',
      'a/main.tf': 'module "b" {\n  source = "../b"\n}\n',
      'b/main.tf': 'module "a" {\n  source = "../a"\n}\n',
    });
    assert.equal(problems.length, 1);
    assert.match(problems[0]!.message, /more than 16 deep/);
  });

  it('reports a syntax error with its line, and scans the rest', async () => {
    const { findings, problems } = await scanTexts({
      'main.tf':
        'resource "aws_instance" "a" {\n  ami =\n}\nresource "aws_launch_template" "b" {\n  name = "b"\n}\n',
    });
    assert.deepEqual(
      problems.map(({ range }) => range?.start.line),
      [2],
    );
    assert.deepEqual(shortFindings(findings), [
      'main.tf:1 imdsv1-allowed-by-default aws_instance.a',
      'main.tf:4 imdsv1-allowed-by-default aws_launch_template.b',
    ]);
  });

  for (const [name, broken] of [
    ['a doubled sign', 'resource "aws_instance" "a" {\n  ami = = 1\n}\n'],
    ['an open text', 'resource "aws_instance" "a" {\n  ami = "x\n}\n'],
    ['an open block', 'resource "aws_instance" "a" {\n  ami = "x"\n'],
    ['an open heredoc', 'locals {\n  a = <<EOF\n'],
    ['a lone brace', '}\n'],
  ] as const) {
    it(`loses no block behind ${name}`, async () => {
      const good =
        'resource "aws_launch_template" "b" {\n  metadata_options {\n    http_tokens = "optional"\n  }\n}\n';
      const { findings, problems, open } = await scanTexts({
        'main.tf': broken + good + good.replace('"b"', '"c"'),
      });
      assert.equal(problems.length, 1);
      const found = findings.filter(({ rule }) => rule === 'imdsv1-allowed');
      assert.deepEqual(
        found.map(({ subject }) => subject),
        ['aws_launch_template.b', 'aws_launch_template.c'],
      );
      for (const { path, range } of found)
        assert.equal(open(path)!.text.slice(range.start.index, range.end.index), 'http_tokens = "optional"');
    });
  }

  it('bounds the steps of one module, and says so', async () => {
    const range = 'range(1000)';
    const { findings, problems } = await scanTexts({
      'main.tf': `locals {\n  a = [for x in ${range} : [for y in ${range} : [for z in ${range} : z]]]\n}\nresource "aws_instance" "x" {\n  metadata_options {\n    http_tokens = local.a[0][0][0]\n  }\n}\n`,
    });
    assert.deepEqual(
      findings.map(({ rule }) => rule),
      ['imdsv1-unknown'],
    );
    assert.match(problems[0]!.message, /more than 2000000 steps/);
  });
});
