/** Defines the data of the lab's metadata service: the paths of the real one with invented values. */

export const LAB_ROLE = 'lab-instance-role';
const INSTANCE_ID = 'i-0123456789abcdef0';
const ACCOUNT_ID = '123456789012';
const MAC = '0e:00:00:00:00:01';
const CREDENTIALS_LIFETIME_MS = 6 * 3600 * 1000;

/** Dated versions that the service offers. `latest` is not in the real service's list but is served. */
export const VERSIONS = [
  '1.0',
  '2007-01-19',
  '2009-04-04',
  '2016-09-02',
  '2019-10-01',
  '2021-03-23',
  '2021-07-15',
];

type Leaf = () => string;
interface Tree {
  [name: string]: Leaf | Tree;
}

const leaf =
  (text: string): Leaf =>
  () =>
    text;

/** Builds the credentials on demand, so that the source contains nothing that looks like a key. */
function credentials(): string {
  const fake = (prefix: string, length: number) => `${prefix}LABONLYNOTAREALKEY`.padEnd(length, 'X');
  return JSON.stringify(
    {
      Code: 'Success',
      LastUpdated: isoSeconds(Date.now()),
      Type: 'AWS-HMAC',
      AccessKeyId: fake('ASIA', 20).slice(0, 20),
      SecretAccessKey: fake('', 40),
      Token: fake('', 200),
      Expiration: isoSeconds(Date.now() + CREDENTIALS_LIFETIME_MS),
    },
    null,
    2,
  );
}

function isoSeconds(ms: number): string {
  return `${new Date(ms).toISOString().slice(0, 19)}Z`;
}

export const LAB_TAGS: Readonly<Record<string, string>> = {
  Name: 'lab-web-1',
  'aws:autoscaling:groupName': 'lab-asg',
  'eks:cluster-name': 'lab-cluster',
  team: 'payments',
};

const METADATA: Tree = {
  'ami-id': leaf('ami-0123456789abcdef0'),
  'ami-launch-index': leaf('0'),
  hostname: leaf('ip-10-0-0-10.eu-central-1.compute.internal'),
  iam: {
    info: () =>
      JSON.stringify({
        Code: 'Success',
        InstanceProfileArn: `arn:aws:iam::${ACCOUNT_ID}:instance-profile/${LAB_ROLE}`,
      }),
    'security-credentials': { [LAB_ROLE]: credentials },
    'security-credentials-extended': { [LAB_ROLE]: credentials },
  },
  'identity-credentials': { ec2: { 'security-credentials': { 'ec2-instance': credentials } } },
  'instance-id': leaf(INSTANCE_ID),
  'instance-type': leaf('m7i.large'),
  'local-hostname': leaf('ip-10-0-0-10.eu-central-1.compute.internal'),
  'local-ipv4': leaf('10.0.0.10'),
  mac: leaf(MAC),
  network: {
    interfaces: { macs: { [MAC]: { 'device-number': leaf('0'), 'local-ipv4s': leaf('10.0.0.10') } } },
  },
  placement: { 'availability-zone': leaf('eu-central-1a'), region: leaf('eu-central-1') },
  'security-groups': leaf('lab'),
};
/** The tree with the instance's tags, which are served only if `InstanceMetadataTags` allows it. */
const WITH_TAGS: Tree = {
  ...METADATA,
  tags: {
    instance: Object.fromEntries(Object.entries(LAB_TAGS).map(([key, value]) => [key, leaf(value)])),
  },
};

const ROOT: Tree = {
  dynamic: {
    'instance-identity': {
      document: () =>
        JSON.stringify(
          {
            accountId: ACCOUNT_ID,
            architecture: 'x86_64',
            availabilityZone: 'eu-central-1a',
            imageId: 'ami-0123456789abcdef0',
            instanceId: INSTANCE_ID,
            instanceType: 'm7i.large',
            privateIp: '10.0.0.10',
            region: 'eu-central-1',
            version: '2017-09-30',
          },
          null,
          2,
        ),
    },
  },
  'meta-data': METADATA,
  'user-data': leaf('#!/bin/sh\necho started by the lab\n'),
};

/** Returns the body for the decoded path of a target; null if there is none. Extra slashes are ignored. */
export function bodyFor(path: string, tags = false): string | null {
  const [version, ...rest] = path.split('/').filter((part) => part !== '');
  if (version === undefined) return [...VERSIONS, 'latest'].join('\n');
  if (version !== 'latest' && !VERSIONS.includes(version)) return null;
  let node: Leaf | Tree = tags ? { ...ROOT, 'meta-data': WITH_TAGS } : ROOT;
  for (const name of rest) {
    if (typeof node === 'function' || !Object.hasOwn(node, name)) return null;
    node = node[name]!;
  }
  return typeof node === 'function' ? node() : listing(node);
}

function listing(tree: Tree): string {
  return (
    Object.entries(tree)
      .map(([name, child]) => (typeof child === 'function' ? name : `${name}/`))
      // The real service lists roles and user-data without a slash, as leaves are listed here.
      .join('\n')
  );
}
