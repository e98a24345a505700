/** The settings: tokens, alerts, owners, retention and the audit log. Viewers see only some of them. */
import type { ComponentType } from 'preact';
import { useRoute } from 'preact-iso/router';
import { hasRole, type Role } from '../../../collector/contract/roles.ts';
import { useSession } from '../api/session.tsx';
import { EmptyNotice } from '../parts/states.tsx';
import { ScreenHead } from '../shell.tsx';
import { AlertSettings } from './settings_alerts.tsx';
import { AuditLog } from './settings_audit.tsx';
import { OwnerSettings } from './settings_owners.tsx';
import { RetentionSettings } from './settings_retention.tsx';
import { TokenSettings } from './settings_tokens.tsx';
import './settings.css';

interface Section {
  name: string;
  label: string;
  needs: Role;
  wholeFleet?: true;
  content: ComponentType;
}

const SECTIONS: Section[] = [
  { name: 'tokens', label: 'Tokens', needs: 'admin', content: TokenSettings },
  { name: 'alerts', label: 'Alerts', needs: 'viewer', wholeFleet: true, content: AlertSettings },
  { name: 'owners', label: 'Owners', needs: 'viewer', content: OwnerSettings },
  { name: 'retention', label: 'Retention', needs: 'viewer', content: RetentionSettings },
  { name: 'audit', label: 'Audit log', needs: 'auditor', content: AuditLog },
];

export function SettingsScreen() {
  const wanted = useRoute().params['section'];
  const { role, scope } = useSession();
  const allowed = SECTIONS.filter(
    ({ needs, wholeFleet }) => hasRole(role, needs) && (scope === null || wholeFleet !== true),
  );
  const section = wanted === undefined ? allowed[0]! : SECTIONS.find(({ name }) => name === wanted);
  const Content = section?.content;
  return (
    <>
      <ScreenHead title={section === undefined ? 'Settings' : section.label} />
      <nav class="sections" aria-label="Settings">
        {allowed.map(({ name, label }) => (
          <a key={name} href={`/settings/${name}`} aria-current={section?.name === name ? 'page' : undefined}>
            {label}
          </a>
        ))}
      </nav>
      {section === undefined || !allowed.includes(section) || Content === undefined ? (
        <section class="panel">
          <EmptyNotice
            title={
              section === undefined
                ? 'This part of the settings does not exist.'
                : section.needs === 'viewer'
                  ? 'This is about the whole fleet, and you see the hosts of a scope.'
                  : section.needs === 'admin'
                    ? 'Only admins can see this.'
                    : 'Only auditors and admins can see this.'
            }
          >
            {section !== undefined &&
              (section.needs === 'viewer'
                ? 'Ask an admin for a role without a scope.'
                : `Sign in with the role ${section.needs}.`)}
          </EmptyNotice>
        </section>
      ) : (
        <Content />
      )}
    </>
  );
}
