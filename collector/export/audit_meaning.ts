/** Tells from the name of an audited action what kind of change it is. */

export type AuditMeaning = 'sign_in' | 'sign_out' | 'create' | 'update' | 'delete' | 'other';

const BY_VERB: Readonly<Record<string, AuditMeaning>> = {
  ...{ add: 'create', create: 'create', issue: 'create', plan: 'create' },
  ...{
    change: 'update',
    set: 'update',
    renew: 'update',
    release: 'update',
    supply: 'update',
    report: 'update',
  },
  ...{ remove: 'delete', revoke: 'delete', forget: 'delete', forget_hosts: 'delete' },
};

/** Actions are `thing.verb`. `other`: an action that changes no setting, such as a test, or one of a later release. */
export function meaningOf(action: string): AuditMeaning {
  const [thing, verb = ''] = action.split('.');
  if (thing === 'session') return verb === 'open' ? 'sign_in' : 'sign_out';
  return Object.hasOwn(BY_VERB, verb) ? BY_VERB[verb]! : 'other';
}
