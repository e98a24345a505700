/** What is asked of the findings: a span of time, and which hosts. */
import type { Window } from '../contract/window.ts';

export interface Question {
  window: Window;
}

/**
 * Narrows an answer to hosts. Every condition that is given must hold; within a list any value does. `null` in a list means
 * hosts of which that attribute is not known.
 */
export interface HostFilter {
  ids?: readonly string[];
  accounts?: readonly (string | null)[];
  regions?: readonly (string | null)[];
  zones?: readonly (string | null)[];
  types?: readonly (string | null)[];
  imageIds?: readonly (string | null)[];
  /** All of them must hold. `value` null: any value. */
  tags?: readonly { key: string; value: string | null }[];
  /** Substring of the host's id or name, case ignored. */
  text?: string;
}

/** What hosts can be grouped by. */
export type GroupBy = 'account' | 'region' | 'zone' | 'type' | 'image_id' | { tag: string };

/** `account`, `region`, `zone`, `type`, `image_id` or `tag:KEY`; null for anything else. */
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
