/** A question about the findings: a span of time, and a choice of hosts. */
import type { Window } from '../contract/window.ts';

export type { HostFilter } from '../store/host_filter.ts';

export interface Question {
  window: Window;
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
