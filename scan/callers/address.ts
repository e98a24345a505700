/**
 * Finds the addresses of the instance metadata service in a text, in every spelling that clients accept.
 * Source of the addresses: EC2 user guide, "Access instance metadata for an EC2 instance". `instance-data` is a
 * name that the resolver of a VPC answers with 169.254.169.254.
 */

export interface Address {
  start: number;
  /** End of the address with its port and path. */
  end: number;
  /** The path behind it as it is written, '' where there is none. */
  path: string;
  /** True if a scheme stands before it. */
  isUrl: boolean;
}

const IPV4 = String.raw`(?<![\d.])169\.254\.169\.254(?!\d|\.\d)`;
/** Other spellings of the same number (inet_aton(3)). They count only in a URL: alone they are any number. */
const IPV4_NUMBERS = String.raw`(?<=\/\/)(?:2852039166|0xa9fea9fe|0251\.0376\.0251\.0376|0xa9\.0xfe\.0xa9\.0xfe|169\.254\.43518|169\.16689662)(?![\w.])`;
const IPV6 = String.raw`(?<![\w:])fd00:0?ec2(?::0{1,4}){0,5}::?(?:0{1,4}:){0,5}0?254(?![\w:])|(?<![\w:])::ffff:a9fe:a9fe(?![\w:])`;
const NAME = String.raw`(?<![\w.-])instance-data(?:\.ec2\.internal|\.[a-z0-9-]+\.compute\.internal)?(?=\/(?:latest|\d{4}-\d\d-\d\d|1\.0)\b)|(?<=\/\/)instance-data(?:\.ec2\.internal|\.[a-z0-9-]+\.compute\.internal)?(?![\w.-])`;
const ADDRESS = new RegExp(`${IPV4}|${IPV4_NUMBERS}|${IPV6}|${NAME}`, 'gi');

/** A quick test before anything is parsed: a text that fails it has no address. */
const MAY_HAVE_ADDRESS =
  /169\.254\.|:0?ec2:|a9fe:a9fe|instance-data|2852039166|0xa9(?:fea9fe|\.)|0251\.0376/i;

export function mayHaveAddress(text: string): boolean {
  return MAY_HAVE_ADDRESS.test(text);
}

const PORT_AND_PATH = /(?::\d{1,5})?((?:\/[^\s"'`<>|;,()\\]{0,300})?)/y;
/** A network such as 169.254.169.254/32 is a rule or a route, not a request. */
const PREFIX_LENGTH = /^\/\d{1,3}(?![\w.-])/;

/** Returns all addresses between two indices, in order. Networks in CIDR notation are left out. */
export function findAddresses(text: string, from = 0, to = text.length): Address[] {
  const found: Address[] = [];
  const part = from === 0 && to === text.length ? text : text.slice(from, to);
  for (const match of part.matchAll(ADDRESS)) {
    let behind = match.index + match[0].length;
    if (part[behind] === ']') behind += 1;
    if (PREFIX_LENGTH.test(part.slice(behind, behind + 5))) continue;
    PORT_AND_PATH.lastIndex = behind;
    const rest = PORT_AND_PATH.exec(part)!;
    found.push({
      start: from + match.index,
      end: from + behind + rest[0].length,
      path: rest[1]!,
      isUrl: /:\/\/\[?(?:[^\s/@]{0,100}@)?(?:::ffff:)?$/i.test(
        part.slice(Math.max(0, match.index - 120), match.index),
      ),
    });
  }
  return found;
}

export type PathOwner = 'ec2' | 'token_request' | 'other_cloud' | 'open';

const EC2_PATH = /^\/+(?:latest|\d{4}-\d\d-\d\d|1\.0)(?:\/|$)/;
const TOKEN_PATH = /^\/+latest\/+api\/+token/;
/**
 * Paths of other clouds that use the same IPv4 address: Google (computeMetadata, 0.1), Azure (metadata/instance,
 * identity, scheduledevents, attested, loadbalancer), DigitalOcean (metadata/v1), OpenStack, Oracle (opc),
 * Hetzner, Vultr and Linode (v1), IBM (instance_identity), Scaleway (conf).
 */
const OTHER_CLOUD_PATH =
  /^\/+(?:computeMetadata|0\.1\/|metadata(?:\/|$)|openstack(?:\/|$)|opc\/|hetzner\/|v1(?:\.json|\/|$)|instance_identity\/|conf\b)/;

/** Says whose path this is; `open` where it is not written beside the address. */
export function pathOwner(path: string): PathOwner {
  if (TOKEN_PATH.test(path)) return 'token_request';
  if (EC2_PATH.test(path)) return 'ec2';
  return OTHER_CLOUD_PATH.test(path) ? 'other_cloud' : 'open';
}

/** The header that makes a request IMDSv2. The header of the token request (`-ttl-seconds`) is another one. */
export const TOKEN_HEADER = /x-aws-ec2-metadata-token(?!-ttl)/i;
const OTHER_CLOUD_HEADER =
  /Metadata-Flavor|X-Google-Metadata-Request|\bMetadata\b["']?\s*(?::|=>|=|,)\s*["']?true/i;

export function hasOtherCloudHeader(text: string): boolean {
  return OTHER_CLOUD_HEADER.test(text);
}

const EC2_WORDS =
  /latest\/+(?:meta-data|user-data|dynamic|api)|\/meta-data|\/user-data|instance-identity|\bec2\b|\bimds|\baws\b/i;

/** True if a file with an address and no path beside it is about another cloud. */
export function isAboutOtherCloud(text: string): boolean {
  if (EC2_WORDS.test(text)) return false;
  return (
    hasOtherCloudHeader(text) ||
    /computeMetadata|\/opc\/v\d|\/metadata\/(?:instance|v1)|\/openstack\//.test(text)
  );
}

/** Returns where the URL of an address begins, not before `from`. */
export function urlStart(text: string, from: number, address: number): number {
  const before = text.slice(Math.max(from, address - 40), address);
  const scheme = /(?:[a-z]{2,8}:\/\/)?\[?(?:::ffff:)?$/i.exec(before)!;
  return address - scheme[0].length;
}

/** An address without a path belongs to EC2 unless the file is about another cloud. */
export function isEc2Address({ path }: Address, isOtherCloud: boolean): boolean {
  const owner = pathOwner(path);
  return owner === 'ec2' || (owner === 'open' && !isOtherCloud);
}
