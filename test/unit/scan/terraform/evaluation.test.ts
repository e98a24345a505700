/** Tests how values are computed: variables, locals, conditionals, functions, count, for_each, dynamic, modules. */
// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are templates of Terraform, not of TypeScript.
import { type Case, testCases } from '../../../support/scan/cases.ts';

const LANGUAGE = 'Terraform language';
const instance = (value: string, rest = '') =>
  `resource "aws_instance" "x" {\n  metadata_options {\n    http_tokens = ${value}\n  }\n}\n${rest}`;
const variable = (name: string, text: string) => `variable "${name}" {\n  default = ${text}\n}\n`;
const locals = (text: string) => `locals {\n  ${text}\n}\n`;

const required: [string, string][] = [
  ['a variable with a default', instance('var.t', variable('t', '"required"'))],
  ['a local', instance('local.t', locals('t = "required"'))],
  ['a local of a variable', instance('local.t', locals('t = var.v') + variable('v', '"required"'))],
  [
    'a conditional that is true',
    instance('var.secure ? "required" : "optional"', variable('secure', 'true')),
  ],
  [
    'a conditional with a text',
    instance('var.secure ? "required" : "optional"', variable('secure', '"true"')),
  ],
  ['a comparison', instance('var.env == "prod" ? "required" : "optional"', variable('env', '"prod"'))],
  ['an inequality', instance('var.env != "dev" ? "required" : "optional"', variable('env', '"prod"'))],
  ['a negation', instance('!var.legacy ? "required" : "optional"', variable('legacy', 'false'))],
  ['and', instance('(true && var.a) ? "required" : "optional"', variable('a', 'true'))],
  ['or', instance('(false || var.a) ? "required" : "optional"', variable('a', 'true'))],
  ['or with an unknown side', instance('var.u || true ? "required" : "optional"', 'variable "u" {}\n')],
  [
    'equal branches of an unknown condition',
    instance('var.u ? "required" : "required"', 'variable "u" {}\n'),
  ],
  ['an interpolation', instance('"${var.t}"', variable('t', '"required"'))],
  ['a template of two parts', instance('"${var.t}ired"', variable('t', '"requ"'))],
  [
    'lookup',
    instance('lookup(var.m, "http_tokens", "optional")', variable('m', '{ http_tokens = "required" }')),
  ],
  ['lookup with a fallback', instance('lookup(var.m, "http_tokens", "required")', variable('m', '{}'))],
  ['try of a missing attribute', instance('try(var.m.http_tokens, "required")', variable('m', '{}'))],
  [
    'try of an attribute',
    instance('try(var.m.http_tokens, "optional")', variable('m', '{ http_tokens = "required" }')),
  ],
  ['coalesce', instance('coalesce(var.t, "required")', variable('t', 'null'))],
  ['merge', instance('merge({ t = "optional" }, var.m).t', variable('m', '{ t = "required" }'))],
  ['merge with null', instance('merge({ t = "required" }, null).t')],
  ['an index into a map', instance('var.m["dev"]', variable('m', '{ dev = "required" }'))],
  [
    'an index by a variable',
    instance('var.m[var.env]', variable('m', '{ dev = "required" }') + variable('env', '"dev"')),
  ],
  ['an index into a list', instance('var.l[1]', variable('l', '["optional", "required"]'))],
  ['element', instance('element(["optional", "required"], 3)')],
  ['lower', instance('lower("REQUIRED")')],
  ['format', instance('format("%s%s", "requ", "ired")')],
  ['join', instance('join("", ["requ", "ired"])')],
  ['split', instance('split("-", "optional-required")[1]')],
  ['replace', instance('replace("requiredx", "x", "")')],
  ['trimspace', instance('trimspace("  required ")')],
  ['tostring', instance('tostring("required")')],
  ['contains', instance('contains(["prod"], var.env) ? "required" : "optional"', variable('env', '"prod"'))],
  ['length', instance('length(var.l) > 0 ? "required" : "optional"', variable('l', '["a"]'))],
  ['a for expression', instance('[for t in ["required"] : t][0]')],
  ['a for expression to an object', instance('{ for k, v in { a = "required" } : k => v }["a"]')],
  [
    'a for expression with a condition',
    instance('[for t in ["optional", "required"] : t if t != "optional"][0]'),
  ],
  ['keys', instance('keys({ required = 1 })[0]')],
  ['values', instance('values({ a = "required" })[0]')],
  ['can', instance('can(var.m.x) ? "optional" : "required"', variable('m', '{}'))],
  ['jsondecode', instance('jsondecode("{\\"t\\": \\"required\\"}").t')],
  ['one', instance('one(["required"])')],
  ['a parenthesis', instance('("required")')],
  ['arithmetic', instance('1 + 2 * 3 == 7 ? "required" : "optional"')],
  [
    'an optional attribute of an object type',
    instance(
      'var.o.http_tokens',
      'variable "o" {\n  type = object({ http_tokens = optional(string, "required") })\n  default = {}\n}\n',
    ),
  ],
  ['a sensitive value', instance('nonsensitive(sensitive("required"))')],
  ['startswith', instance('startswith("prod-1", "prod") ? "required" : "optional"')],
  ['zipmap', instance('zipmap(["a"], ["required"])["a"]')],
  ['flatten', instance('flatten([["required"]])[0]')],
  ['a splat over a list', instance('one([{ t = "required" }][*].t)')],
  ['a heredoc', instance('trimspace(<<EOF\nrequired\nEOF\n)')],
];
testCases(
  'terraform values that are required',
  'main.tf',
  required.map(([name, code]): Case => ({ name, code, want: [], source: LANGUAGE })),
);

const optional: [string, string, string][] = [
  ['a variable with a default', instance('var.t', variable('t', '"optional"')), variable('t', '"required"')],
  ['a local', instance('local.t', locals('t = "optional"')), locals('t = "required"')],
  [
    'the branch that is taken',
    instance('var.secure ? "required" : "optional"', variable('secure', 'false')),
    'var.secure ? "required" : "required"',
  ],
  [
    'lookup',
    instance('lookup({ http_tokens = "optional" }, "http_tokens", "required")'),
    'lookup({ http_tokens = "required" }',
  ],
  ['merge', instance('merge({ t = "required" }, { t = "optional" }).t'), '{ t = "required" }).t'],
  ['a computed text', instance('lower("OPTIONAL")'), 'http_tokens = "required"'],
];
testCases(
  'terraform values that are optional',
  'main.tf',
  optional.map(
    ([name, code, text]): Case => ({
      name: `${name}: the fix writes ${text.trim()}`,
      code,
      want: ['3 imdsv1-allowed'],
      source: LANGUAGE,
    }),
  ),
);

const unknown: [string, string, RegExp][] = [
  ['a variable without a default', instance('var.t', 'variable "t" {}\n'), /var\.t has no default/],
  ['a variable that is not declared', instance('var.t'), /var\.t is not declared/],
  [
    'a local of such a variable',
    instance('local.t', `${locals('t = var.t')}variable "t" {}\n`),
    /var\.t has no default/,
  ],
  [
    'a workspace',
    instance('terraform.workspace == "prod" ? "required" : "optional"'),
    /terraform\.workspace/,
  ],
  [
    'a data source',
    instance('data.aws_ssm_parameter.t.value'),
    /data\.aws_ssm_parameter\.t\.value is known only after/,
  ],
  [
    'a resource',
    instance('aws_ssm_parameter.t.value', 'resource "aws_ssm_parameter" "t" {}\n'),
    /aws_ssm_parameter\.t\.value is known only/,
  ],
  [
    'an unknown condition',
    instance('var.t ? "required" : "optional"', 'variable "t" {}\n'),
    /var\.t has no default/,
  ],
  ['a function that is not computed', instance('file("tokens")'), /function file is not computed/],
  ['a local that refers to itself', instance('local.a', locals('a = local.a')), /refers to itself/],
  [
    'an output of a module elsewhere',
    instance('module.m.t', 'module "m" {\n  source = "git::https://example.com/m"\n}\n'),
    /module\.m is not in the scanned code/,
  ],
  ['a missing key', instance('{ a = "required" }["b"]'), /no attribute "b"/],
  ['an index beyond the list', instance('["required"][4]'), /no element 4/],
];
testCases(
  'terraform values that are unknown',
  'main.tf',
  unknown.map(
    ([name, code, says]): Case => ({ name, code, want: ['3 imdsv1-unknown'], says, source: LANGUAGE }),
  ),
);

const structure: Case[] = [
  {
    name: 'count 0 makes no instance',
    code: 'resource "aws_instance" "x" {\n  count = 0\n}\n',
    want: [],
    source: LANGUAGE,
  },
  {
    name: 'count by a false condition makes no instance',
    code: `resource "aws_instance" "x" {\n  count = var.on ? 1 : 0\n}\n${variable('on', 'false')}`,
    want: [],
    source: LANGUAGE,
  },
  {
    name: 'several instances have one finding',
    code: 'resource "aws_instance" "x" {\n  count = 3\n}\n',
    want: ['1 imdsv1-allowed-by-default'],
    source: LANGUAGE,
  },
  {
    name: 'an unknown count still has a finding',
    code: 'variable "n" {}\nresource "aws_instance" "x" {\n  count = var.n\n}\n',
    want: ['2 imdsv1-allowed-by-default'],
    source: LANGUAGE,
  },
  {
    name: 'for_each over an empty map makes no instance',
    code: 'resource "aws_instance" "x" {\n  for_each = {}\n}\n',
    want: [],
    source: LANGUAGE,
  },
  {
    name: 'for_each with a value of its own for each instance',
    code: 'resource "aws_instance" "x" {\n  for_each = {\n    a = "required"\n    b = "optional"\n  }\n  metadata_options {\n    http_tokens = each.value\n  }\n}\n',
    want: ['7 imdsv1-allowed'],
    source: LANGUAGE,
  },
  {
    name: 'for_each over a set of texts',
    code: 'resource "aws_instance" "x" {\n  for_each = toset(["required"])\n  metadata_options {\n    http_tokens = each.key\n  }\n}\n',
    want: [],
    source: LANGUAGE,
  },
  {
    name: 'count.index into a list',
    code: 'resource "aws_instance" "x" {\n  count = 2\n  metadata_options {\n    http_tokens = ["required", "optional"][count.index]\n  }\n}\n',
    want: ['4 imdsv1-allowed'],
    source: LANGUAGE,
  },
  {
    name: 'a dynamic block',
    code: `resource "aws_instance" "x" {\n  dynamic "metadata_options" {\n    for_each = [1]\n    content {\n      http_tokens = "required"\n    }\n  }\n}\n`,
    want: [],
    source: LANGUAGE,
  },
  {
    name: 'a dynamic block with an iterator value',
    code: `resource "aws_instance" "x" {\n  dynamic "metadata_options" {\n    for_each = [{ t = "optional" }]\n    content {\n      http_tokens = metadata_options.value.t\n    }\n  }\n}\n`,
    want: ['5 imdsv1-allowed'],
    source: LANGUAGE,
  },
  {
    name: 'a dynamic block with a named iterator',
    code: `resource "aws_instance" "x" {\n  dynamic "metadata_options" {\n    for_each = [{ t = "required" }]\n    iterator = it\n    content {\n      http_tokens = it.value.t\n    }\n  }\n}\n`,
    want: [],
    source: LANGUAGE,
  },
  {
    name: 'a dynamic block that makes nothing',
    code: `resource "aws_instance" "x" {\n  dynamic "metadata_options" {\n    for_each = []\n    content {\n      http_tokens = "required"\n    }\n  }\n}\n`,
    want: ['1 imdsv1-allowed-by-default'],
    // A second block beside the dynamic one would be refused as soon as that makes one.
    fixed: `resource "aws_instance" "x" {\n  dynamic "metadata_options" {\n    for_each = []\n    content {\n      http_tokens = "required"\n    }\n  }\n}\n`,
    source: LANGUAGE,
  },
  {
    name: 'for_each over the instances of a template',
    code: `resource "aws_launch_template" "t" {\n  for_each = toset(["a"])\n  metadata_options {\n    http_tokens = "required"\n  }\n}\nresource "aws_autoscaling_group" "g" {\n  for_each = aws_launch_template.t\n  launch_template {\n    id = each.value.id\n  }\n}\n`,
    want: [],
    source: LANGUAGE,
  },
  {
    name: 'a template of many, by key, index and splat',
    code: `resource "aws_launch_template" "t" {\n  count = 1\n  metadata_options {\n    http_tokens = "required"\n  }\n}\n${['aws_launch_template.t[0].id', 'one(aws_launch_template.t[*].id)', 'element(aws_launch_template.t.*.id, 0)'].map((id, at) => `resource "aws_autoscaling_group" "g${at}" {\n  launch_template {\n    id = ${id}\n  }\n}\n`).join('')}`,
    want: [],
    source: LANGUAGE,
  },
  {
    name: 'a dynamic block over something unknown',
    code: `variable "o" {}\nresource "aws_instance" "x" {\n  dynamic "metadata_options" {\n    for_each = var.o\n    content {\n      http_tokens = "required"\n    }\n  }\n}\n`,
    want: ['4 imdsv1-unknown'],
    says: /var\.o has no default/,
    source: LANGUAGE,
  },
  {
    name: 'terraform.tfvars wins over the default',
    code: {
      'main.tf': instance('var.t', variable('t', '"optional"')),
      'terraform.tfvars': 't = "required"\n',
    },
    want: [],
    source: LANGUAGE,
  },
  {
    name: 'an automatic variable file wins over terraform.tfvars',
    code: {
      'main.tf': instance('var.t', 'variable "t" {}\n'),
      'terraform.tfvars': 't = "required"\n',
      'x.auto.tfvars': 't = "optional"\n',
    },
    want: ['3 imdsv1-allowed'],
    says: /is set in x\.auto\.tfvars/,
    source: LANGUAGE,
  },
  {
    name: '-var wins over all files',
    code: { 'main.tf': instance('var.t', 'variable "t" {}\n'), 'terraform.tfvars': 't = "optional"\n' },
    variables: { t: 'required' },
    want: [],
    source: LANGUAGE,
  },
  {
    name: '-var with an object',
    code: instance('var.o.t', 'variable "o" {}\n'),
    variables: { o: '{ t = "required" }' },
    want: [],
    source: LANGUAGE,
  },
  {
    name: '-var-file',
    code: {
      'main.tf': instance('var.t', 'variable "t" {}\n'),
      'p.tfvars': 't = "required"\n',
      'd.tfvars': 't = "optional"\n',
    },
    variableFiles: ['p.tfvars'],
    want: [],
    source: LANGUAGE,
  },
  {
    name: 'other variable files are tried where a value is missing',
    code: {
      'main.tf': instance('var.t', 'variable "t" {}\n'),
      'environments/dev.tfvars': 't = "optional"\n',
      'environments/prod.tfvars': 't = "required"\n',
    },
    want: ['3 imdsv1-allowed'],
    says: /is set in environments\/dev\.tfvars/,
    source: LANGUAGE,
  },
  {
    name: 'a JSON variable file',
    code: {
      'main.tf': instance('var.t', 'variable "t" {}\n'),
      'terraform.tfvars.json': '{"t": "required"}\n',
    },
    want: [],
    source: LANGUAGE,
  },
  {
    name: 'a local module with its input',
    code: {
      'main.tf': 'module "m" {\n  source = "./m"\n  t = "optional"\n}\n',
      'm/main.tf': instance('var.t', 'variable "t" {}\n'),
    },
    want: ['m/main.tf:3 imdsv1-allowed'],
    says: /module\.m\.var\.t is set by the call of module\.m/,
    source: LANGUAGE,
  },
  {
    name: 'a local module that is called twice',
    code: {
      'main.tf':
        'module "a" {\n  source = "./m"\n  t = "required"\n}\nmodule "b" {\n  source = "./m"\n  t = "optional"\n}\n',
      'm/main.tf': instance('var.t', 'variable "t" {}\n'),
    },
    want: ['m/main.tf:3 imdsv1-allowed'],
    says: /module\.b/,
    source: LANGUAGE,
  },
  {
    name: 'a local module with its default',
    code: {
      'main.tf': 'module "m" {\n  source = "./m"\n}\n',
      'm/main.tf': instance('var.t', variable('t', '"required"')),
    },
    want: [],
    source: LANGUAGE,
  },
  {
    name: 'a module input that may not be null',
    code: {
      'main.tf': 'module "m" {\n  source = "./m"\n  t = null\n}\n',
      'm/main.tf': instance('var.t', 'variable "t" {\n  default = "required"\n  nullable = false\n}\n'),
    },
    want: [],
    source: LANGUAGE,
  },
  {
    name: 'modules inside each other',
    code: {
      'main.tf': 'module "a" {\n  source = "./a"\n  t = "optional"\n}\n',
      'a/main.tf': 'variable "t" {}\nmodule "b" {\n  source = "../b"\n  t = var.t\n}\n',
      'b/main.tf': instance('var.t', 'variable "t" {}\n'),
    },
    want: ['b/main.tf:3 imdsv1-allowed'],
    says: /module\.a\.module\.b\.aws_instance\.x/,
    source: LANGUAGE,
  },
  {
    name: 'a module with count 0',
    code: {
      'main.tf': 'module "m" {\n  source = "./m"\n  count = 0\n}\n',
      'm/main.tf': instance('"optional"'),
    },
    want: [],
    source: LANGUAGE,
  },
  {
    name: 'an example does not hide the default of the module that it shows',
    code: {
      'main.tf': instance('var.t', variable('t', '"optional"')),
      'examples/full/main.tf': 'module "m" {\n  source = "../.."\n  t = "required"\n}\n',
    },
    want: ['3 imdsv1-allowed'],
    source: 'never a silent pass',
  },
  {
    name: 'an output of a local module',
    code: {
      'main.tf': `${instance('module.m.t')}module "m" {\n  source = "./m"\n}\n`,
      'm/main.tf': 'output "t" {\n  value = "optional"\n}\n',
    },
    want: ['3 imdsv1-allowed'],
    source: LANGUAGE,
  },
  {
    name: 'an overriding file',
    code: { 'main.tf': instance('"optional"'), 'override.tf': instance('"required"') },
    want: [],
    source: LANGUAGE,
  },
  {
    name: 'a .tofu file stands for the .tf file of its name',
    code: { 'main.tf': instance('"optional"'), 'main.tofu': instance('"required"') },
    want: [],
    source: 'OpenTofu language, files',
  },
  {
    name: 'the JSON spelling',
    code: {
      'main.tf.json':
        '{"resource": {"aws_instance": {"x": {\n  "metadata_options": {"http_tokens": "optional"}\n}}}}\n',
    },
    want: ['main.tf.json:2 imdsv1-allowed'],
    source: LANGUAGE,
  },
  {
    name: 'the JSON spelling without a block',
    code: { 'main.tf.json': '{"resource": {"aws_instance": {"x": {\n  "ami": "ami-1"\n}}}}\n' },
    want: ['main.tf.json:1 imdsv1-allowed-by-default'],
    source: LANGUAGE,
  },
  {
    name: 'the JSON spelling with a reference',
    code: {
      'main.tf.json':
        '{"variable": {"t": {"default": "required"}}, "resource": {"aws_instance": {"x": {"metadata_options": [{"http_tokens": "${var.t}"}]}}}}\n',
    },
    want: [],
    source: LANGUAGE,
  },
  {
    name: 'a variable that also decides something else stays',
    code: `${instance('var.t', variable('t', '"optional"'))}resource "aws_s3_bucket" "b" {\n  tags = { mode = var.t }\n}\n`,
    want: ['3 imdsv1-allowed'],
    fixed: `${instance('"required"', variable('t', '"optional"'))}resource "aws_s3_bucket" "b" {\n  tags = { mode = var.t }\n}\n`,
    source: 'the smallest edit changes nothing else',
  },
  {
    name: 'a variable of several instances is changed once',
    code: `${instance('var.t', variable('t', '"optional"'))}resource "aws_instance" "y" {\n  metadata_options {\n    http_tokens = var.t\n  }\n}\n`,
    want: ['3 imdsv1-allowed', '11 imdsv1-allowed'],
    fixed: `${instance('var.t', variable('t', '"required"'))}resource "aws_instance" "y" {\n  metadata_options {\n    http_tokens = var.t\n  }\n}\n`,
    source: 'the smallest edit changes nothing else',
  },
  {
    name: 'Windows line endings stay',
    code: 'resource "aws_instance" "x" {\r\n\tami = "a"\r\n}\r\n',
    want: ['1 imdsv1-allowed-by-default'],
    fixed:
      'resource "aws_instance" "x" {\r\n\tami = "a"\r\n\r\n\tmetadata_options {\r\n\t\thttp_tokens = "required"\r\n\t}\r\n}\r\n',
    source: 'byte-preserving edits',
  },
  {
    name: 'a byte order mark stays',
    code: '\ufeffresource "aws_instance" "x" {}\n',
    want: ['1 imdsv1-allowed-by-default'],
    fixed:
      '\ufeffresource "aws_instance" "x" {\n  metadata_options {\n    http_tokens = "required"\n  }\n}\n',
    source: 'byte-preserving edits',
  },
  {
    name: 'a block on one line is opened up',
    code: 'resource "aws_instance" "x" {\n  metadata_options { http_endpoint = "enabled" }\n}\n',
    want: ['2 imdsv1-allowed-by-default'],
    fixed:
      'resource "aws_instance" "x" {\n  metadata_options {\n    http_endpoint = "enabled"\n    http_tokens = "required"\n  }\n}\n',
    source: 'HCL native syntax, one-line blocks',
  },
  {
    name: 'comments in a commented-out block do not count',
    code: 'resource "aws_instance" "x" {\n  # metadata_options { http_tokens = "required" }\n}\n',
    want: ['1 imdsv1-allowed-by-default'],
    source: LANGUAGE,
  },
];
testCases('terraform structure', 'main.tf', structure);
