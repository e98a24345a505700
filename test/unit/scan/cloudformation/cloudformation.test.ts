// biome-ignore-all lint/suspicious/noTemplateCurlyInString: these are templates of CloudFormation, not of TypeScript.
/** Tests CloudFormation templates in YAML and JSON. */
import { type Case, testCases } from '../../../support/scan/cases.ts';

const REFERENCE = 'CloudFormation template reference';
const PRECEDENCE = 'EC2 user guide, order of precedence for instance metadata options';
const ALLOWED = 'imdsv1-allowed';
const DEFAULT = 'imdsv1-allowed-by-default';

const instance = (options: string, head = '') =>
  `${head}Resources:\n  Web:\n    Type: AWS::EC2::Instance\n    Properties:\n      ImageId: ami-1\n${options}`;
const tokens = (value: string, head = '') =>
  instance(`      MetadataOptions:\n        HttpTokens: ${value}\n`, head);
const template = (options: string) =>
  `Resources:\n  Web:\n    Type: AWS::EC2::LaunchTemplate\n    Properties:\n      LaunchTemplateData:\n        ImageId: ami-1\n${options}`;
const parameter = (value: string | null) =>
  `Parameters:\n  T:\n    Type: String\n${value === null ? '' : `    Default: ${value}\n`}`;

const cases: Case[] = [
  { name: 'instance required', code: tokens('required'), want: [], source: REFERENCE },
  {
    name: 'instance optional',
    code: tokens('optional # note'),
    want: [`7 ${ALLOWED}`],
    fixed: tokens('required # note'),
    source: REFERENCE,
  },
  {
    name: 'quotes stay',
    code: tokens("'optional'"),
    want: [`7 ${ALLOWED}`],
    fixed: tokens("'required'"),
    source: REFERENCE,
  },
  {
    name: 'instance silent',
    code: instance(''),
    want: [`2 ${DEFAULT}`],
    fixed: tokens('required'),
    source: PRECEDENCE,
  },
  {
    name: 'options without tokens',
    code: instance('      MetadataOptions:\n        HttpEndpoint: enabled\n'),
    want: [`6 ${DEFAULT}`],
    fixed: instance('      MetadataOptions:\n        HttpEndpoint: enabled\n        HttpTokens: required\n'),
    source: PRECEDENCE,
  },
  {
    name: 'endpoint off',
    code: instance('      MetadataOptions:\n        HttpEndpoint: disabled\n        HttpTokens: optional\n'),
    want: [],
    source: REFERENCE,
  },
  {
    name: 'flow style',
    code: instance('      MetadataOptions: { HttpEndpoint: enabled }\n'),
    want: [`6 ${DEFAULT}`],
    fixed: instance('      MetadataOptions: { HttpEndpoint: enabled, HttpTokens: required }\n'),
    source: 'YAML 1.2, flow mappings',
  },
  {
    name: 'options with nothing in them',
    code: instance('      MetadataOptions:\n      KeyName: k\n'),
    want: [`6 ${DEFAULT}`],
    fixed: instance('      MetadataOptions:\n        HttpTokens: required\n      KeyName: k\n'),
    source: PRECEDENCE,
  },
  {
    name: 'user data at the end stays',
    code: instance('      UserData: |\n        #!/bin/sh\n        echo\n'),
    want: [`2 ${DEFAULT}`],
    fixed:
      'Resources:\n  Web:\n    Type: AWS::EC2::Instance\n    Properties:\n      MetadataOptions:\n        HttpTokens: required\n      ImageId: ami-1\n      UserData: |\n        #!/bin/sh\n        echo\n',
    source: 'byte-preserving edits',
  },
  {
    name: 'a resource without properties',
    code: 'Resources:\n  Web:\n    Type: AWS::EC2::Instance\n',
    want: [`2 ${DEFAULT}`],
    fixed:
      'Resources:\n  Web:\n    Type: AWS::EC2::Instance\n    Properties:\n      MetadataOptions:\n        HttpTokens: required\n',
    source: PRECEDENCE,
  },
  { name: 'Ref with a default', code: tokens('!Ref T', parameter('required')), want: [], source: REFERENCE },
  {
    name: 'Ref with an optional default',
    code: tokens('!Ref T', parameter('optional')),
    want: [`11 ${ALLOWED}`],
    fixed: tokens('!Ref T', parameter('required')),
    says: /parameter T has a default/,
    source: REFERENCE,
  },
  {
    name: 'Ref without a default',
    code: tokens('!Ref T', parameter(null)),
    want: ['10 imdsv1-unknown'],
    says: /parameter T has no default/,
    source: REFERENCE,
  },
  { name: 'Ref in full', code: tokens('{Ref: T}', parameter('required')), want: [], source: REFERENCE },
  {
    name: 'Ref to nothing declared',
    code: tokens('!Ref X'),
    want: ['7 imdsv1-unknown'],
    says: /X is not declared/,
    source: REFERENCE,
  },
  {
    name: 'If with a condition that holds',
    code: tokens(
      '!If [P, required, optional]',
      `${parameter('prod')}Conditions:\n  P: !Equals [!Ref T, prod]\n`,
    ),
    want: [],
    source: REFERENCE,
  },
  {
    name: 'If with a condition that does not hold',
    code: tokens(
      '!If [P, required, optional]',
      `${parameter('dev')}Conditions:\n  P: !Equals [!Ref T, prod]\n`,
    ),
    want: [`13 ${ALLOWED}`],
    fixed: tokens(
      '!If [P, required, required]',
      `${parameter('dev')}Conditions:\n  P: !Equals [!Ref T, prod]\n`,
    ),
    source: REFERENCE,
  },
  {
    name: 'If with a condition that is not known',
    code: tokens(
      '!If [P, required, optional]',
      `${parameter(null)}Conditions:\n  P: !Equals [!Ref T, prod]\n`,
    ),
    want: ['12 imdsv1-unknown'],
    says: /condition P is not known: parameter T has no default/,
    source: REFERENCE,
  },
  {
    name: 'If with equal branches',
    code: tokens(
      '!If [P, required, required]',
      `${parameter(null)}Conditions:\n  P: !Equals [!Ref T, prod]\n`,
    ),
    want: [],
    source: REFERENCE,
  },
  {
    name: 'Not, And and Or',
    code: tokens(
      '!If [P, required, optional]',
      `${parameter('dev')}Conditions:\n  A: !Not [!Equals [!Ref T, prod]]\n  P: !And [{Condition: A}, !Or [!Equals [a, b], !Equals [a, a]]]\n`,
    ),
    want: [],
    source: REFERENCE,
  },
  {
    name: 'If around the options',
    code: instance(
      "      MetadataOptions: !If [P, {HttpTokens: required}, !Ref 'AWS::NoValue']\n",
      `${parameter('prod')}Conditions:\n  P: !Equals [!Ref T, prod]\n`,
    ),
    want: [],
    source: REFERENCE,
  },
  {
    name: 'If that leaves the options out',
    code: instance(
      "      MetadataOptions: !If [P, {HttpTokens: required}, !Ref 'AWS::NoValue']\n",
      `${parameter('dev')}Conditions:\n  P: !Equals [!Ref T, prod]\n`,
    ),
    want: [`8 ${DEFAULT}`],
    source: REFERENCE,
  },
  {
    name: 'FindInMap',
    code: tokens(
      '!FindInMap [M, !Ref T, tokens]',
      `${parameter('prod')}Mappings:\n  M:\n    prod: {tokens: required}\n    dev: {tokens: optional}\n`,
    ),
    want: [],
    source: REFERENCE,
  },
  {
    name: 'FindInMap with another row',
    code: tokens(
      '!FindInMap [M, !Ref T, tokens]',
      `${parameter('dev')}Mappings:\n  M:\n    prod: {tokens: required}\n    dev: {tokens: optional}\n`,
    ),
    want: [`15 ${ALLOWED}`],
    source: REFERENCE,
  },
  {
    name: 'FindInMap by region where all rows agree',
    code: tokens(
      "!FindInMap [M, !Ref 'AWS::Region', t]",
      'Mappings:\n  M:\n    a: {t: required}\n    b: {t: required}\n',
    ),
    want: [],
    source: REFERENCE,
  },
  {
    name: 'FindInMap by region where rows differ',
    code: tokens(
      "!FindInMap [M, !Ref 'AWS::Region', t]",
      'Mappings:\n  M:\n    a: {t: required}\n    b: {t: optional}\n',
    ),
    want: ['11 imdsv1-unknown'],
    source: REFERENCE,
  },
  {
    name: 'Sub of a parameter',
    code: tokens("!Sub '${T}'", parameter('required')),
    want: [],
    source: REFERENCE,
  },
  { name: 'Sub with text', code: tokens("!Sub '${T}ired'", parameter('requ')), want: [], source: REFERENCE },
  { name: 'Sub with variables', code: tokens("!Sub ['${x}', {x: required}]"), want: [], source: REFERENCE },
  { name: 'Join', code: tokens("!Join ['', [requ, ired]]"), want: [], source: REFERENCE },
  { name: 'Select', code: tokens('!Select [1, [optional, required]]'), want: [], source: REFERENCE },
  {
    name: 'ImportValue',
    code: tokens('!ImportValue x'),
    want: ['7 imdsv1-unknown'],
    says: /Fn::ImportValue is known only when the stack is deployed/,
    source: REFERENCE,
  },
  {
    name: 'a resource with a condition that does not hold',
    code: 'Conditions:\n  P: !Equals [a, b]\nResources:\n  Web:\n    Type: AWS::EC2::Instance\n    Condition: P\n',
    want: [],
    source: REFERENCE,
  },
  {
    name: 'resources of a loop',
    code: 'Transform: AWS::LanguageExtensions\nResources:\n  Fn::ForEach::Webs:\n    - X\n    - [A, B]\n    - Web${X}:\n        Type: AWS::EC2::Instance\n',
    want: [`6 ${DEFAULT}`],
    source: REFERENCE,
  },
  {
    name: 'template optional',
    code: template('        MetadataOptions:\n          HttpTokens: optional\n'),
    want: [`8 ${ALLOWED}`],
    source: REFERENCE,
  },
  {
    name: 'template required',
    code: template('        MetadataOptions:\n          HttpTokens: required\n'),
    want: [],
    source: REFERENCE,
  },
  {
    name: 'template silent',
    code: template(''),
    want: [`2 ${DEFAULT}`],
    fixed: template('        MetadataOptions:\n          HttpTokens: required\n'),
    source: PRECEDENCE,
  },
  {
    name: 'launch configuration optional',
    code: 'Resources:\n  C:\n    Type: AWS::AutoScaling::LaunchConfiguration\n    Properties:\n      MetadataOptions:\n        HttpTokens: optional\n',
    want: [`6 ${ALLOWED}`],
    source: 'CKV_AWS_79 does not look here: iac.md, defect 10',
  },
  {
    name: 'launch configuration silent',
    code: 'Resources:\n  C:\n    Type: AWS::AutoScaling::LaunchConfiguration\n    Properties:\n      ImageId: ami-1\n',
    want: [`2 ${DEFAULT}`],
    source: PRECEDENCE,
  },
  {
    name: 'an instance with a template that is required',
    code: `${instance('      LaunchTemplate: {LaunchTemplateId: !Ref T, Version: !GetAtt T.LatestVersionNumber}\n')}  T:\n    Type: AWS::EC2::LaunchTemplate\n    Properties:\n      LaunchTemplateData:\n        MetadataOptions: {HttpTokens: required}\n`,
    want: [],
    source: PRECEDENCE,
  },
  {
    name: 'an instance that overrides its template',
    code: `${instance('      LaunchTemplate: {LaunchTemplateId: !Ref T}\n      MetadataOptions: {HttpTokens: optional}\n')}  T:\n    Type: AWS::EC2::LaunchTemplate\n    Properties:\n      LaunchTemplateData:\n        MetadataOptions: {HttpTokens: required}\n`,
    want: [`7 ${ALLOWED}`],
    source: PRECEDENCE,
  },
  {
    name: 'a group with a template by Sub',
    code: "Resources:\n  G:\n    Type: AWS::AutoScaling::AutoScalingGroup\n    Properties:\n      LaunchTemplate: {LaunchTemplateId: !Sub '${T}', Version: '1'}\n  T:\n    Type: AWS::EC2::LaunchTemplate\n    Properties:\n      LaunchTemplateData:\n        MetadataOptions: {HttpTokens: required}\n",
    want: [],
    source: 'aquasecurity/trivy#5793',
  },
  {
    name: 'a group with a template outside the stack',
    code: 'Parameters:\n  T: {Type: String}\nResources:\n  G:\n    Type: AWS::AutoScaling::AutoScalingGroup\n    Properties:\n      LaunchTemplate: {LaunchTemplateId: !Ref T, Version: "1"}\n',
    want: ['7 imdsv1-unknown'],
    says: /parameter T has no default/,
    source: 'cdklabs/cdk-nag#1902',
  },
  {
    name: 'a group with mixed instances',
    code: 'Resources:\n  G:\n    Type: AWS::AutoScaling::AutoScalingGroup\n    Properties:\n      MixedInstancesPolicy:\n        LaunchTemplate:\n          LaunchTemplateSpecification: {LaunchTemplateId: !Ref T, Version: "1"}\n  T:\n    Type: AWS::EC2::LaunchTemplate\n    Properties:\n      LaunchTemplateData:\n        MetadataOptions: {HttpTokens: optional}\n',
    want: [`12 ${ALLOWED}`],
    says: /G uses it/,
    source: REFERENCE,
  },
  {
    name: 'Amazon Linux 2023 by a parameter of Systems Manager',
    code: 'Parameters:\n  A:\n    Type: AWS::SSM::Parameter::Value<AWS::EC2::Image::Id>\n    Default: /aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-x86_64\nResources:\n  Web:\n    Type: AWS::EC2::Instance\n    Properties:\n      ImageId: !Ref A\n',
    want: ['6 imdsv2-by-default'],
    source: 'Amazon Linux 2023 user guide, IMDSv2',
  },
  {
    name: 'a notebook with version 1',
    code: "Resources:\n  N:\n    Type: AWS::SageMaker::NotebookInstance\n    Properties:\n      InstanceMetadataServiceConfiguration:\n        MinimumInstanceMetadataServiceVersion: '1'\n",
    want: [`6 ${ALLOWED}`],
    source: REFERENCE,
  },
  {
    name: 'image builder silent',
    code: 'Resources:\n  I:\n    Type: AWS::ImageBuilder::InfrastructureConfiguration\n    Properties:\n      Name: x\n',
    want: [`2 ${DEFAULT}`],
    source: 'coverage-roadmap#1181',
  },
  {
    name: 'Beanstalk that allows IMDSv1',
    code: "Resources:\n  B:\n    Type: AWS::ElasticBeanstalk::Environment\n    Properties:\n      OptionSettings:\n        - Namespace: aws:autoscaling:launchconfiguration\n          OptionName: DisableIMDSv1\n          Value: 'false'\n",
    want: [`8 ${ALLOWED}`],
    source: 'Elastic Beanstalk guide, IMDS',
  },
  {
    name: 'an ECS instance with a hop limit of 1',
    code: 'Resources:\n  L:\n    Type: AWS::EC2::LaunchTemplate\n    Properties:\n      LaunchTemplateData:\n        UserData: !Base64\n          Fn::Sub: "echo ECS_CLUSTER=x >> /etc/ecs/ecs.config"\n        MetadataOptions:\n          HttpTokens: required\n          HttpPutResponseHopLimit: 1\n',
    want: ['10 hop-limit-too-low'],
    source: 'iac.md, wish 6',
  },
];
testCases('cloudformation in YAML', 'template.yaml', cases);

const json = (properties: string) =>
  `{\n  "Resources": {\n    "Web": {\n      "Type": "AWS::EC2::Instance",\n      "Properties": ${properties}\n    }\n  }\n}\n`;
testCases('cloudformation in JSON', 'template.json', [
  {
    name: 'optional',
    code: json('{ "MetadataOptions": { "HttpTokens": "optional" } }'),
    want: [`5 ${ALLOWED}`],
    fixed: json('{ "MetadataOptions": { "HttpTokens": "required" } }'),
    source: REFERENCE,
  },
  {
    name: 'silent',
    code: json('{\n        "ImageId": "ami-1"\n      }'),
    want: [`3 ${DEFAULT}`],
    fixed: json(
      '{\n        "ImageId": "ami-1",\n        "MetadataOptions": { "HttpTokens": "required" }\n      }',
    ),
    source: PRECEDENCE,
  },
  {
    name: 'a function',
    code: json('{ "MetadataOptions": { "HttpTokens": { "Fn::Join": ["", ["requ", "ired"]] } } }'),
    want: [],
    source: REFERENCE,
  },
  {
    name: 'what the CDK writes is reported and not edited',
    code: '{"Resources": {"Web": {"Type": "AWS::EC2::Instance", "Properties": {}, "Metadata": {"aws:cdk:path": "App/Web"}}}}\n',
    want: [`1 ${DEFAULT}`],
    fixed:
      '{"Resources": {"Web": {"Type": "AWS::EC2::Instance", "Properties": {}, "Metadata": {"aws:cdk:path": "App/Web"}}}}\n',
    source: 'AWS CDK, synthesized templates',
  },
]);
