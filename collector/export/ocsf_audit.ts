/** Audit entries as events of OCSF 1.5.0: Authentication (3002) for sessions, else Entity Management (3004). */
import type { AuditEntry } from '../contract/administration.ts';
import { type AuditMeaning, meaningOf } from './audit_meaning.ts';
import { compact } from './compact.ts';
import type { JsonObject } from './json.ts';
import { type Activity, baseOf, OCSF_CLASSES } from './ocsf_base.ts';
import { endpointObject } from './ocsf_objects.ts';

const LOGON: Activity = { id: 1, name: 'Logon' };
const LOGOFF: Activity = { id: 2, name: 'Logoff' };
const CHANGES: Record<Exclude<AuditMeaning, 'sign_in' | 'sign_out' | 'other'>, Activity> = {
  create: { id: 1, name: 'Create' },
  update: { id: 3, name: 'Update' },
  delete: { id: 4, name: 'Delete' },
};
const OTHER = 99;
const OPENID = { auth_protocol_id: 4, auth_protocol: 'OpenID' };

export function ocsfAudit(entry: AuditEntry): JsonObject {
  const meaning = meaningOf(entry.action);
  const isSession = meaning === 'sign_in' || meaning === 'sign_out';
  return isSession
    ? authentication(entry, meaning === 'sign_in' ? LOGON : LOGOFF)
    : management(entry, meaning);
}

function authentication(entry: AuditEntry, activity: Activity): JsonObject {
  const byOpenId = /\bOpenID\b|\bOIDC\b/i.test(entry.detail ?? '');
  return compact({
    ...eventOf(OCSF_CLASSES.authentication, entry, activity),
    user: { name: entry.actor },
    service: { name: 'imdswatch' },
    ...(byOpenId ? OPENID : { auth_protocol_id: 0, auth_protocol: 'Unknown' }),
    is_remote: entry.source_address === null ? null : true,
    unmapped: compact({ action: entry.action, subject: entry.subject, detail: entry.detail }),
  });
}

function management(entry: AuditEntry, meaning: AuditMeaning): JsonObject {
  const { action, actor, subject, detail } = entry;
  const type = action.split('.')[0]!;
  const activity =
    meaning === 'create' || meaning === 'update' || meaning === 'delete'
      ? CHANGES[meaning]
      : { id: OTHER, name: action };
  return compact({
    ...eventOf(OCSF_CLASSES.entityManagement, entry, activity),
    actor: { user: { name: actor } },
    entity: { uid: subject, name: subject, type_id: OTHER, type },
    comment: detail,
    unmapped: { action },
  });
}

function eventOf(ofClass: Parameters<typeof baseOf>[0], entry: AuditEntry, activity: Activity): JsonObject {
  const { id, time, actor, action, subject, detail, source_address } = entry;
  const base = baseOf(ofClass, {
    ...{ activity, severity: 1, time, profiles: [] },
    metadata: { uid: `audit-${id}`, sequence: id, event_code: action },
  });
  return compact({
    ...base,
    message: `${actor}: ${action} ${subject}${detail === null ? '' : ` (${detail})`}`,
    status_id: 1,
    status: 'Success',
    src_endpoint: source_address === null ? null : endpointObject(source_address),
  });
}
