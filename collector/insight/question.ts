/** A question about the findings: a span of time, and a choice of hosts. */
import type { Window } from '../contract/window.ts';

export interface Question {
  window: Window;
}

/**
 * Restricts an answer to some hosts. Every condition that is present must hold. In a list, one value must
 * match; `null` matches hosts whose attribute is not known.
 */
export interface HostFilter {
  ids?: readonly string[];
  accounts?: readonly (string | null)[];
  regions?: readonly (string | null)[];
  zones?: readonly (string | null)[];
  types?: readonly (string | null)[];
  imageIds?: readonly (string | null)[];
  /** Every tag must match. `value` null matches any value. */
  tags?: readonly { key: string; value: string | null }[];
  /** Part of the host's id or name. Upper and lower case are the same. */
  text?: string;
}

/** Attributes by which hosts can be grouped. */
export type GroupBy = 'account' | 'region' | 'zone' | 'type' | 'image_id' | { tag: string };

/** Reads `account`, `region`, `zone`, `type`, `image_id` or `tag:KEY`. Returns null for any other text. */
export function parseGroupBy(text: string): GroupBy | null {
  switch (text) {
    case 'account':
    case 'region':
    case 'zone':
    case 'type':
    case 'image_id':
      return text;
    default:
      return text.startsWith('tag:') && text.length > 4 ? { tag: text.slice(4) } : null;
  }
}
