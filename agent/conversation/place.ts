/** Finds out which metadata a request's path names, for each kind of endpoint. */
import type { ImdsCategory } from '../../protocol/call.ts';
import { maskPath } from '../secrets/mask.ts';

export interface Place {
  imds: { category: ImdsCategory; role: string | null };
  credentials: ImdsCategory;
}

export const NOWHERE: Place = { imds: { category: 'other', role: null }, credentials: 'other' };

/**
 * Returns what a path names. `path` must be as sent, with its secrets, because a mask over one segment may
 * hide another one. The returned role has its secrets masked.
 */
export function placeOf(path: string | null): Place {
  return path === null ? NOWHERE : { imds: categoryOf(path), credentials: credentialsCategoryOf(path) };
}

/** The first segment of every EC2 metadata path: `latest`, a date or the old `1.0`. */
const VERSION_PREFIX = /^(?:latest|1\.0|\d{4}-\d\d-\d\d)$/;

/**
 * Returns the category of a path as sent, with repeated slashes, percent-encoding and dot segments resolved.
 */
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
        : { category: 'credentials', role: maskPath(match[1]) };
    }
    default:
      return { category: 'other', role: null };
  }
}

function credentialsCategoryOf(path: string | null): ImdsCategory {
  const [version, tree] = path === null ? [] : normalise(path);
  if (version === undefined || !/^v\d+$/.test(version)) return 'other';
  if (tree === 'credentials') return 'credentials';
  return version === 'v1' ? 'other' : 'metadata';
}

/**
 * Splits a path into segments (RFC 3986, sections 2.1 and 5.2.4). Empty segments are dropped, as the service
 * does.
 */
function normalise(path: string): string[] {
  const segments: string[] = [];
  for (const raw of path.split('/')) {
    const segment = raw.replace(/%([0-9a-f]{2})/gi, (whole, hex: string) => {
      const code = Number.parseInt(hex, 16);
      return code > 0x20 && code < 0x7f ? String.fromCharCode(code) : whole;
    });
    // An encoded slash separates like a plain one where the service decodes before it splits.
    for (const part of segment.split('/')) {
      if (part === '' || part === '.') continue;
      if (part === '..') segments.pop();
      else segments.push(part);
    }
  }
  return segments;
}
