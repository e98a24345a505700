/**
 * Recognises requests that look for another cloud: by paths that only other clouds serve, and by headers
 * that only the clients of other clouds send. EC2's service answers such a path with 404 and ignores such a
 * header (EC2 user guide: it reads `X-aws-ec2-metadata-token` and its TTL header only).
 *
 * Sources, one for each entry, stand beside it.
 */

/** First segments of paths that EC2's service does not have. */
const PATHS: ReadonlySet<string> = new Set([
  // Google Cloud, "About VM metadata": `/computeMetadata/v1/`. Yandex Cloud serves the same path.
  'computeMetadata',
  // Google Cloud, deprecated versions: `/0.1/meta-data/`.
  '0.1',
  // Azure, "Azure Instance Metadata Service": `/metadata/instance`, `/metadata/identity/oauth2/token`.
  // DigitalOcean, "Droplet Metadata API": `/metadata/v1/`. Equinix Metal, "Metadata": `/metadata`. IBM Cloud,
  // "Instance metadata service": `/metadata/v1/`.
  'metadata',
  // DigitalOcean, "Droplet Metadata API".
  'metadata.json',
  // IBM Cloud, "Instance metadata service": `/instance_identity/v1/token`, later `/identity/v1/`.
  'instance_identity',
  'identity',
  // Oracle Cloud, "Getting Instance Metadata": `/opc/v1/`, `/opc/v2/`.
  'opc',
  // OpenStack Nova, "Metadata service": `/openstack/latest/meta_data.json`. Huawei Cloud, OVHcloud and others
  // serve the same path.
  'openstack',
  // Hetzner Cloud, "Server metadata": `/hetzner/v1/metadata`.
  'hetzner',
  // Vultr, "Metadata": `/v1.json`, `/v1/`. Akamai (Linode), "Metadata service": `/v1/token`, `/v1/instance`.
  'v1.json',
  'v1',
]);

/** Header names, in lower case, that only clients of other clouds send. Their values are never read. */
const HEADERS: ReadonlySet<string> = new Set([
  // Google Cloud, "About VM metadata", and IBM Cloud, "Instance metadata service".
  'metadata-flavor',
  // Google Cloud, deprecated versions.
  'x-google-metadata-request',
  // Azure, "Azure Instance Metadata Service": `Metadata: true`.
  'metadata',
  // Alibaba Cloud, "Instance metadata", security hardening mode.
  'x-aliyun-ecs-metadata-token',
  'x-aliyun-ecs-metadata-token-ttl-seconds',
  // Akamai (Linode), "Metadata service".
  'metadata-token',
  'metadata-token-expiry-seconds',
  // Huawei Cloud, "Metadata": token of its service.
  'x-metadata-token',
  'x-metadata-token-ttl-seconds',
]);

/** Oracle Cloud, "Getting Instance Metadata": version 2 wants this constant in each request. */
const ORACLE_AUTHORIZATION = /^bearer\s+oracle$/i;

/**
 * Returns whether only other clouds serve a path. `segments` are its decoded segments; `path` is the path as
 * sent. A path with dot segments is never one of them, because a server that does not resolve these reads
 * another path.
 */
export function isOtherCloudsPath(segments: readonly string[], path: string): boolean {
  return segments.length > 0 && PATHS.has(segments[0]!) && !hasDotSegments(path);
}

/** Returns whether a path as sent may have a segment `..`, encoded or not. */
export function hasDotSegments(path: string): boolean {
  return /(?:\.|%2e){2}/i.test(path);
}

/** Returns whether only clients of other clouds send this header. `name` is in lower case. */
export function isOtherCloudsHeader(name: string, value: string): boolean {
  return HEADERS.has(name) || (name === 'authorization' && ORACLE_AUTHORIZATION.test(value));
}
