/**
 * The paths of the EC2 instance metadata service, below their version prefix, and what they hand out.
 *
 * Sources: AWS EC2 user guide, "Instance metadata categories", "Dynamic data categories" and "Run commands
 * when you launch an EC2 instance with user data input"; EC2 user guide, "Instance identity roles"
 * (`identity-credentials`); aws/aws-ec2-instance-connect-config, eic_curl_authorized_keys
 * (`managed-ssh-keys`); the AWS SDKs for Java v2, PHP, Ruby and JavaScript, which ask for
 * `security-credentials-extended` first since June 2025 (aws/aws-sdk-js-v3, fromInstanceMetadata).
 */
import type { ImdsCategory } from '../../protocol/call.ts';

/** The first segment of every EC2 metadata path: `latest`, a date or the old `1.0`. */
export const VERSION_PREFIX = /^(?:latest|1\.0|\d{4}-\d\d-\d\d)$/;

/**
 * Directories below `meta-data` that hand out credentials: the directory itself lists roles, and everything
 * below it names one.
 */
const CREDENTIAL_DIRECTORIES: readonly (readonly string[])[] = [
  ['iam', 'security-credentials'],
  ['iam', 'security-credentials-extended'],
  ['identity-credentials', 'ec2', 'security-credentials'],
  ['identity-credentials', 'ec2', 'security-credentials-extended'],
];

/** All else that lies in the directories that also hand out credentials, as whole paths. */
const BESIDE_CREDENTIALS: ReadonlySet<string> = new Set([
  'iam',
  'iam/info',
  'identity-credentials',
  'identity-credentials/ec2',
  'identity-credentials/ec2/info',
]);

/** First segments below `meta-data`. All that lies below one of them describes the instance. */
const META_DATA: ReadonlySet<string> = new Set([
  'ami-id',
  'ami-launch-index',
  'ami-manifest-path',
  'ancestor-ami-ids',
  'autoscaling',
  'block-device-mapping',
  'elastic-gpus',
  'elastic-inference',
  'events',
  'hibernation',
  'hostname',
  'instance-action',
  'instance-id',
  'instance-life-cycle',
  'instance-type',
  'ipv6',
  'kernel-id',
  'local-hostname',
  'local-ipv4',
  'mac',
  'managed-ssh-keys',
  'metrics',
  'network',
  'placement',
  'product-codes',
  'profile',
  'public-hostname',
  'public-ipv4',
  'public-keys',
  'ramdisk-id',
  'reservation-id',
  'security-groups',
  'services',
  'spot',
  'system',
  'tags',
]);

/** First segments below `dynamic`. */
const DYNAMIC: ReadonlySet<string> = new Set(['fws', 'instance-identity']);

/** The data that an EC2 path hands out, and the segments of the role's name if it names one. */
export interface Ec2Place {
  category: ImdsCategory;
  role: readonly string[] | null;
}

/** Returns what the segments behind the version prefix name. A path that is not in the tables is `other`. */
export function ec2PlaceOf(segments: readonly string[]): Ec2Place {
  const [tree, ...below] = segments;
  switch (tree) {
    case undefined:
      return place('metadata');
    case 'api':
      return place(below.length === 1 && below[0] === 'token' ? 'token' : 'other');
    case 'user-data':
      return place('user-data');
    case 'dynamic':
      return place(dynamicCategory(below));
    case 'meta-data':
      return metaDataPlace(below);
    default:
      return place('other');
  }
}

function dynamicCategory(below: readonly string[]): ImdsCategory {
  if (below.length > 1 && below[0] === 'instance-identity') return 'identity-document';
  return below.length === 0 || DYNAMIC.has(below[0]!) ? 'metadata' : 'other';
}

function metaDataPlace(below: readonly string[]): Ec2Place {
  for (const directory of CREDENTIAL_DIRECTORIES) {
    if (!directory.every((segment, index) => below[index] === segment)) continue;
    const role = below.slice(directory.length);
    return role.length === 0 ? place('role-list') : { category: 'credentials', role };
  }
  const isKnown = below.length === 0 || META_DATA.has(below[0]!) || BESIDE_CREDENTIALS.has(below.join('/'));
  return place(isKnown ? 'metadata' : 'other');
}

function place(category: ImdsCategory): Ec2Place {
  return { category, role: null };
}
