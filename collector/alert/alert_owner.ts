/** Names the owner of hosts and groups that alerts are about. Offenders have theirs by their triage. Pure. */
import type { AlertObject } from '../contract/alert.ts';
import { type Owners, ownerOfHost, ownerOfMembers } from '../insight/owners.ts';
import type { AlertDraft } from './alert_draft.ts';

/** Returns a function that completes an alert, and the alerts that a summary stands for. */
export function withOwner(owners: Owners): (draft: AlertDraft) => AlertDraft {
  const complete = (draft: AlertDraft): AlertDraft => ({
    ...draft,
    object: draft.object === null ? null : ownedObject(owners, draft.object),
    ...(draft.members !== undefined && { members: draft.members.map(complete) }),
  });
  return complete;
}

function ownedObject(owners: Owners, object: AlertObject): AlertObject {
  if (object.type === 'host') {
    const { account, tags } = object;
    return { ...object, owner: object.owner ?? ownerOfHost(owners, { account, tags }) };
  }
  if (object.type === 'group')
    return { ...object, owner: object.owner ?? ownerOfMembers(owners, object.accounts) };
  return object;
}
