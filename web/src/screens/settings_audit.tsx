/** The audit log: sign-ins and changes of the settings. */
import type { AuditEntry } from '../../../collector/contract/administration.ts';
import { useResourceList } from '../api/resource.ts';
import { Panel } from '../parts/panel.tsx';
import { EmptyNotice, ResourceView } from '../parts/states.tsx';
import { More, Table } from '../parts/table.tsx';
import { LocalTime } from '../time.tsx';

const PAGE_ROWS = 100;

export function AuditLog() {
  const list = useResourceList<AuditEntry>('/audit', PAGE_ROWS);
  return (
    <Panel
      title="Audit log"
      flush
      note="Sign-ins, changes of settings and triage, and steps of plans, newest first"
    >
      <ResourceView resource={list}>
        {(entries) =>
          entries.length === 0 ? (
            <EmptyNotice title="No changes yet." />
          ) : (
            <>
              <Table
                caption="Audit log, newest first"
                rows={entries}
                rowKey={({ id }) => id}
                columns={[
                  { label: 'Time', cell: ({ time }) => <LocalTime at={time} /> },
                  { label: 'By', heading: true, cell: ({ actor }) => actor },
                  { label: 'Action', cell: ({ action }) => <code>{action}</code> },
                  { label: 'Object', cell: ({ subject }) => <span class="audit-object">{subject}</span> },
                  {
                    label: 'Detail',
                    only: 'medium',
                    cell: ({ detail }) => <span class="audit-detail">{detail}</span>,
                  },
                  { label: 'Source address', only: 'wide', cell: ({ source_address }) => source_address },
                ]}
              />
              <More list={list} />
            </>
          )
        }
      </ResourceView>
    </Panel>
  );
}
