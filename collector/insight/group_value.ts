/** Finds the group of a host. */
import type { HostFacts } from '../../protocol/call.ts';
import { tagValue } from '../store/host_filter.ts';
import type { GroupBy } from './question.ts';

/** Returns the value of that attribute, or null if it is not known. */
export function groupValue(facts: Omit<HostFacts, 'id' | 'name'>, by: GroupBy): string | null {
  if (typeof by === 'object') return tagValue(facts.tags, by.tag);
  switch (by) {
    case 'account':
      return facts['cloud.account.id'] ?? null;
    case 'region':
      return facts['cloud.region'] ?? null;
    case 'zone':
      return facts['cloud.availability_zone'] ?? null;
    case 'type':
      return facts.type ?? null;
    case 'image_id':
      return facts['image.id'] ?? null;
  }
}
