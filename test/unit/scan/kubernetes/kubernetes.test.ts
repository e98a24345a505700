/** Tests the manifests that make nodes. */
import { type Case, testCases } from '../../../support/scan/cases.ts';

const EKSCTL = 'eksctl types.go, disableIMDSv1';
const KARPENTER = 'Karpenter pkg/apis/v1/ec2nodeclass.go';
const CAPA = 'Cluster API provider AWS, Instance Metadata Service';

const eksctl = (group: string) =>
  `apiVersion: eksctl.io/v1alpha5\nkind: ClusterConfig\nmetadata:\n  name: c\nnodeGroups:\n  - name: a\n${group}`;
const nodeClass = (spec: string, version = 'karpenter.k8s.aws/v1', kind = 'EC2NodeClass') =>
  `apiVersion: ${version}\nkind: ${kind}\nmetadata:\n  name: n\nspec:\n  role: r\n${spec}`;
const machine = (spec: string, kind = 'AWSMachineTemplate') =>
  `apiVersion: infrastructure.cluster.x-k8s.io/v1beta2\nkind: ${kind}\nmetadata:\n  name: m\nspec:\n  template:\n    spec:\n      instanceType: t3.micro\n${spec}`;

const cases: Case[] = [
  {
    name: 'eksctl says nothing',
    code: eksctl(''),
    want: ['6 imdsv2-by-default'],
    says: /eksctl default/,
    source: EKSCTL,
  },
  {
    name: 'eksctl allows IMDSv1',
    code: eksctl('    disableIMDSv1: false\n'),
    want: ['7 imdsv1-allowed'],
    fixed: eksctl('    disableIMDSv1: true\n'),
    source: EKSCTL,
  },
  { name: 'eksctl disables IMDSv1', code: eksctl('    disableIMDSv1: true\n'), want: [], source: EKSCTL },
  {
    name: 'eksctl managed group that allows IMDSv1',
    code: 'apiVersion: eksctl.io/v1alpha5\nkind: ClusterConfig\nmanagedNodeGroups:\n  - name: a\n    disableIMDSv1: false\n',
    want: ['5 imdsv1-allowed'],
    source: EKSCTL,
  },
  {
    name: 'eksctl with a launch template',
    code: 'apiVersion: eksctl.io/v1alpha5\nkind: ClusterConfig\nmanagedNodeGroups:\n  - name: a\n    launchTemplate:\n      id: lt-1\n',
    want: ['6 imdsv1-unknown'],
    source: EKSCTL,
  },
  { name: 'Karpenter says nothing', code: nodeClass(''), want: ['2 imdsv2-by-default'], source: KARPENTER },
  {
    name: 'Karpenter allows IMDSv1',
    code: nodeClass('  metadataOptions:\n    httpTokens: optional\n'),
    want: ['8 imdsv1-allowed'],
    fixed: nodeClass('  metadataOptions:\n    httpTokens: required\n'),
    source: KARPENTER,
  },
  {
    name: 'Karpenter requires tokens',
    code: nodeClass('  metadataOptions:\n    httpTokens: required\n'),
    want: [],
    source: KARPENTER,
  },
  {
    name: 'Karpenter with part of the options',
    code: nodeClass('  metadataOptions:\n    httpEndpoint: enabled\n'),
    want: ['7 imdsv2-by-default'],
    source: KARPENTER,
  },
  {
    name: 'Karpenter with the endpoint off',
    code: nodeClass('  metadataOptions:\n    httpEndpoint: disabled\n    httpTokens: optional\n'),
    want: [],
    source: KARPENTER,
  },
  {
    name: 'Karpenter of an older version',
    code: nodeClass(
      '  metadataOptions:\n    httpTokens: optional\n',
      'karpenter.k8s.aws/v1alpha1',
      'AWSNodeTemplate',
    ),
    want: ['8 imdsv1-allowed'],
    source: KARPENTER,
  },
  {
    name: 'a machine template that says nothing',
    code: machine(''),
    want: ['2 imdsv1-unknown'],
    says: /depends on the release of the provider/,
    source: CAPA,
  },
  {
    name: 'a machine template that allows IMDSv1',
    code: machine('      instanceMetadataOptions:\n        httpTokens: optional\n'),
    want: ['10 imdsv1-allowed'],
    fixed: machine('      instanceMetadataOptions:\n        httpTokens: required\n'),
    source: CAPA,
  },
  {
    name: 'a machine template that requires tokens',
    code: machine('      instanceMetadataOptions:\n        httpTokens: required\n'),
    want: [],
    source: CAPA,
  },
  {
    name: 'several documents in one file',
    code: `${nodeClass('  metadataOptions:\n    httpTokens: required\n')}---\n${nodeClass('  metadataOptions:\n    httpTokens: optional\n')}`,
    want: ['17 imdsv1-allowed'],
    source: KARPENTER,
  },
  {
    name: 'a list of manifests',
    code: `apiVersion: v1\nkind: List\nitems:\n  - apiVersion: karpenter.k8s.aws/v1\n    kind: EC2NodeClass\n    metadata: {name: n}\n    spec: {metadataOptions: {httpTokens: optional}}\n`,
    want: ['7 imdsv1-allowed'],
    source: KARPENTER,
  },
  {
    name: 'manifests of other kinds',
    code: 'apiVersion: karpenter.sh/v1\nkind: NodePool\nmetadata:\n  name: p\nspec: {}\n',
    want: [],
    source: KARPENTER,
  },
];
testCases('kubernetes manifests', 'nodes.yaml', cases);
