/** Words for the states of a group's members, and for what is missing. */
import type { MemberState } from '../../../collector/contract/group.ts';

export const STATES: Record<MemberState, string> = {
  blocked: 'Called without a token',
  fallback: 'Fell back to IMDSv1',
  rejected: 'Calls were refused',
  watched: 'Watched',
  members_outside_scope: 'Members outside your scope',
  window_not_full: 'Window not full',
  no_inventory: 'No inventory',
  no_agent: 'No agent',
  cloud_saw_more: 'Cloud counted more',
  losses: 'Losses',
  silent: 'Silent',
  end_unknown: 'End not known',
  launch_unknown: 'Launch not known',
  boot_not_counted: 'Boot not proven',
  not_watched: 'Not watched all the time',
  starts_missing: 'Starts missing',
};
