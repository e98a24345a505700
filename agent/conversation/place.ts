/** Finds out which metadata a request's path names, for each kind of endpoint. */
import type { ImdsCategory } from '../../protocol/call.ts';
import { maskPath } from '../secrets/mask.ts';
import { ec2PlaceOf, VERSION_PREFIX } from './ec2_paths.ts';
import { hasDotSegments, isOtherCloudsPath } from './other_clouds.ts';

export interface Place {
  imds: ImdsPlace;
  credentials: ImdsCategory;
  /**
   * The part of EC2's service at this path: its tree, the list of its versions, or nothing. It answers
   * nothing with 404, whoever asks.
   */
  served: 'tree' | 'versions' | 'nothing';
}

interface ImdsPlace {
  category: ImdsCategory;
  role: string | null;
}

export const NOWHERE: Place = {
  imds: { category: 'other', role: null },
  credentials: 'other',
  served: 'nothing',
};

/**
 * Returns what a path names. `path` must be as sent, with its secrets, because a mask over one segment may
 * hide another one. The returned role has its secrets masked.
 */
export function placeOf(path: string | null): Place {
  if (path === null) return NOWHERE;
  const segments = normalise(path);
  return {
    imds: imdsPlaceOf(path, segments),
    credentials: credentialsCategoryOf(segments),
    served: servedAt(path, segments),
  };
}

/** Returns the category of a path as sent, with repeated slashes, percent-encoding and dot segments resolved. */
export function categoryOf(path: string | null): ImdsPlace {
  return placeOf(path).imds;
}

/**
 * Nobody documents how the service reads a path that is encoded twice, has parameters (RFC 3986, section 3.3)
 * or other capitals. Such a path names credentials if it does in any of these readings.
 */
function imdsPlaceOf(path: string, segments: readonly string[]): ImdsPlace {
  const plain = readPlace(path, segments);
  if (plain.category === 'credentials') return plain;
  for (const unusual of unusualReadings(path, segments)) {
    const reading = readPlace(path, unusual);
    if (reading.category === 'credentials' || reading.category === 'role-list') return reading;
  }
  return plain;
}

function readPlace(path: string, segments: readonly string[]): ImdsPlace {
  if (segments.length === 0) return { category: path.startsWith('/') ? 'metadata' : 'other', role: null };
  const [version, ...below] = segments;
  if (!VERSION_PREFIX.test(version!)) {
    return { category: isOtherCloudsPath(segments, path) ? 'other-cloud' : 'other', role: null };
  }
  const { category, role } = ec2PlaceOf(below);
  return { category, role: role === null ? null : maskPath(role.join('/')) };
}

/** Segments from the root to a role: `latest/meta-data/identity-credentials/ec2/security-credentials`. */
const DEEPEST_DIRECTORY = 5;

function* unusualReadings(path: string, segments: readonly string[]): Iterable<string[]> {
  if (path.includes('%25')) yield normalise(path.replaceAll('%25', '%'));
  const bare = segments.map((segment) => segment.split(';', 1)[0]!);
  const hasParameters = bare.some((segment, index) => segment !== segments[index]);
  if (hasParameters) yield bare;
  // The role keeps its capitals.
  const lower = bare.map((segment, index) => (index < DEEPEST_DIRECTORY ? segment.toLowerCase() : segment));
  if (lower.some((segment, index) => segment !== bare[index])) yield lower;
}

function servedAt(path: string, [version]: readonly string[]): Place['served'] {
  if (version === undefined) return path.startsWith('/') ? 'versions' : 'nothing';
  // A server that does not resolve dot segments may serve what this one does not.
  return VERSION_PREFIX.test(version) || hasDotSegments(path) ? 'tree' : 'nothing';
}

function credentialsCategoryOf([version, tree]: readonly string[]): ImdsCategory {
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
