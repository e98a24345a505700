/**
 * What an exchange means: IMDSv1 or IMDSv2, and what was asked for.
 *
 * Sources: AWS EC2 user guide, "Use the Instance Metadata Service to access instance metadata" (PUT /latest/api/token,
 * X-aws-ec2-metadata-token, the categories of instance metadata).
 */
import type { ImdsCategory, ImdsKind } from '../../protocol/call.ts';
import type { Exchange, ExchangeRequest } from './exchange.ts';

export interface Classification {
  version: 1 | 2;
  kind: ImdsKind;
  category: ImdsCategory;
  role: string | null;
  serverVersion: 1 | 2 | null;
}

/** Of an endpoint that has but one way to be asked. */
export interface UnversionedClassification extends Omit<Classification, 'version' | 'serverVersion'> {
  version: null;
  serverVersion: null;
}

export function classify({ request, response }: Exchange): Classification {
  const { category, role } = categoryOf(request.path);
  const isTokenRequest = request.method === 'PUT' && category === 'token';
  const serverVersion = response === null || response.status >= 400 ? null : response.hasTokenTtl ? 2 : 1;
  let version: 1 | 2;
  if (request.hasToken || isTokenRequest) version = 2;
  // Without the whole head a missing token is no certainty; the service, which had the whole head, knows.
  else version = request.isWhole ? 1 : (serverVersion ?? 1);
  const kind = isTokenRequest ? 'token' : kindOf(request.method);
  return { version, kind, category, role, serverVersion };
}

/** Whether a request asks for a session token. */
export function asksForToken(request: ExchangeRequest): boolean {
  return request.method === 'PUT' && categoryOf(request.path).category === 'token';
}

/** `latest` or a dated or old version: the first segment of every EC2 metadata path. */
const VERSION_PREFIX = /^(?:latest|1\.0|\d{4}-\d\d-\d\d)$/;

/** `path` as sent: doubled and trailing slashes, percent-encoding and dot segments are looked through. */
export function categoryOf(path: string | null): { category: ImdsCategory; role: string | null } {
  if (path === null) return { category: 'other', role: null };
  const segments = normalise(path);
  if (segments.length === 0) return { category: path.startsWith('/') ? 'metadata' : 'other', role: null };
  if (!VERSION_PREFIX.test(segments[0]!)) return { category: 'other', role: null };
  const [, tree, ...rest] = segments;
  const below = rest.join('/');
  switch (tree) {
    case undefined:
      return { category: 'metadata', role: null };
    case 'api':
      return { category: below === 'token' ? 'token' : 'other', role: null };
    case 'user-data':
      return { category: 'user-data', role: null };
    case 'dynamic':
      return {
        category: /^instance-identity\/./.test(below) ? 'identity-document' : 'metadata',
        role: null,
      };
    case 'meta-data': {
      const match = /^(?:iam|identity-credentials\/ec2)\/security-credentials(?:\/(.+))?$/.exec(below);
      if (match === null) return { category: 'metadata', role: null };
      return match[1] === undefined
        ? { category: 'role-list', role: null }
        : { category: 'credentials', role: match[1] };
    }
    default:
      return { category: 'other', role: null };
  }
}

/**
 * The same for the credentials endpoints of ECS tasks and EKS pods. They have no versions 1 and 2, and no role in a path.
 *
 * Sources: AWS ECS developer guide, "Task IAM role" (`/v2/credentials/<id>`) and "Task metadata endpoint" (`/v3/<id>/…`,
 * `/v4/<id>/…`, `/v2/metadata`, `/v2/stats`); EKS user guide, "EKS Pod Identity" (`/v1/credentials`).
 */
export function classifyCredentialsEndpoint({ request }: Exchange): UnversionedClassification {
  return {
    version: null,
    kind: kindOf(request.method),
    category: credentialsCategoryOf(request.path),
    role: null,
    serverVersion: null,
  };
}

function credentialsCategoryOf(path: string | null): ImdsCategory {
  const [version, tree] = path === null ? [] : normalise(path);
  if (version === undefined || !/^v\d+$/.test(version)) return 'other';
  if (tree === 'credentials') return 'credentials';
  return version === 'v1' ? 'other' : 'metadata';
}

function kindOf(method: string | null): 'read' | 'other' {
  return method === 'GET' || method === 'HEAD' ? 'read' : 'other';
}

/** RFC 3986, sections 2.1 and 5.2.4, and empty segments dropped as the service does. */
function normalise(path: string): string[] {
  const segments: string[] = [];
  for (const raw of path.split('/')) {
    const segment = raw.replace(/%([0-9a-f]{2})/gi, (whole, hex: string) => {
      const code = Number.parseInt(hex, 16);
      return code > 0x20 && code < 0x7f ? String.fromCharCode(code) : whole;
    });
    // An encoded slash separates as a plain one does, wherever the service decodes before it splits.
    for (const part of segment.split('/')) {
      if (part === '' || part === '.') continue;
      if (part === '..') segments.pop();
      else segments.push(part);
    }
  }
  return segments;
}
