/** Admin data with rows in every table. */
import { createHash } from 'node:crypto';
import type { AdminStore } from '../../../../collector/admin/admin_store.ts';
import { planReport, stepReport } from '../../enforce/reports.ts';
import { alertOf } from '../alert/alert_values.ts';
import { findingOf } from '../streams/findings.ts';

export const hashOf = (secret: string): Buffer => createHash('sha256').update(secret).digest();
export const NOW = Date.parse('2026-03-02T00:00:00Z');
export const CREDENTIALS = 1_300;
const SCOPE = [{ accounts: ['111122223333'], tags: { team: ['payments'] } }];

/** Puts rows into every table, more than one page into one of them. */
export async function fillAdmin(store: AdminStore): Promise<void> {
  const row = {
    ...{ name: 'n\u0000\u{1f512}', createdMs: NOW, createdBy: 'ada', expiresMs: null, lastUsedMs: null },
    ...{ revokedMs: null, enrolmentKeyHash: null, scope: null },
  };
  await store.transaction('access', async ({ tokens }) => {
    await tokens.insert({
      ...row,
      id: 'p',
      hash: hashOf('p'),
      kind: 'person',
      role: 'admin',
      hostId: null,
      enrolled: 0,
    });
    const seen = { kind: 'person', role: 'viewer', hostId: null, enrolled: 0, scope: SCOPE } as const;
    await tokens.insert({ ...row, ...seen, id: 'q', hash: hashOf('q') });
    for (let number = 0; number < CREDENTIALS; number += 1) {
      const id = `id ${number}`;
      const more = { kind: 'agent', role: null, hostId: `host ${number}`, enrolled: 1 } as const;
      await tokens.insert({ ...row, ...more, id, hash: hashOf(id), enrolmentKeyHash: hashOf('key') });
    }
  });
  const times = { lastUsedMs: NOW, expiresMs: NOW + 1 };
  const session = { token: 'p', name: 's', role: 'admin' as const, scope: null, idToken: null, ...times };
  await store.sessions.insert(hashOf('s'), session);
  const provided = {
    token: null,
    name: 'o',
    role: 'viewer' as const,
    scope: SCOPE,
    idToken: 'a.b.c',
    ...times,
  };
  await store.sessions.insert(hashOf('o'), provided);
  await store.sessions.insertCode(hashOf('c'), { role: 'viewer', scope: SCOPE, name: 'c', expiresMs: NOW });
  await store.certifiedHosts.add('certified', NOW);
  await store.settings.put('retention', { raw_days: 3 });
  const values = { url: 'https://example.com/', secret: 'x' };
  const config = { kind: 'http' as const, preset: 'webhook', values };
  const rules = ['host_silent' as const];
  const owners = { patterns: ['pay-*'], unowned: true };
  const whatever = { enabled: true, digest: true, sendResolved: false, owners };
  await store.alerts.addDestination({ id: 'd', name: 'd', ...whatever, rules, config, createdUs: 1 });
  await store.cursors.add('d');
  await store.cursors.begin('d', 7, NOW, null);
  const progress = { from: 7, to: 12, sent: 2, deleted: 1, unfit: 1, givenUp: 1, reason: 'it was refused' };
  await store.cursors.advance('d', progress, NOW, null);
  await store.cursors.noteWaiting('d', { behind: 3, oldestUs: 5, warning: 'w' }, NOW);
  const reported = { key: 'offender/w', change: 'new' as const, state: 's', minor: 'm', timeUs: NOW };
  await store.findings.store([{ ...reported, finding: findingOf() }], null);
  const alerts = ['a', 'b'].map((subject) => ({ alert: alertOf({ subject }), audience: 'all' as const }));
  await store.alerts.record(
    alerts,
    [{ kind: 'host', id: 'h', before: null, state: { good: true } }],
    1,
    null,
  );
  const by = { name: 'ada', sourceAddress: null };
  const until = '2099-01-01T00:00:00Z';
  const subject = { workload: 'w', title: 'w', joined: [] };
  await store.triage.change(subject, { state: 'exception', until, reason: 'r', notes: 'n' }, by, NOW);
  const since = '2026-03-01T00:05:00.000Z';
  const steps = [stepReport(1, { state: 'confirmed', since }), stepReport(2, { state: 'held', since })];
  await store.plans.report('p-0123456789ab', planReport(steps), 'command:ada', NOW);
}
