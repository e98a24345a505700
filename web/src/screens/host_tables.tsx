/** The tables of a host: its gaps, its boots and its offenders. */
import type { Readiness } from '../../../collector/contract/host.ts';
import { count, duration, plural } from '../format.ts';
import { GAP, SeverityBadge } from '../parts/badge.tsx';
import { PathText } from '../parts/path_text.tsx';
import { EmptyNotice } from '../parts/states.tsx';
import { Table } from '../parts/table.tsx';
import { LocalTime, RelativeTime } from '../time.tsx';

export function GapTable({ readiness: { coverage } }: { readiness: Readiness }) {
  if (coverage.gaps.length === 0) return <EmptyNotice title="None. The host was watched all the time." />;
  return (
    <>
      <Table
        caption="Gaps in coverage"
        rows={coverage.gaps}
        rowKey={({ from, reason }) => from + reason}
        columns={[
          {
            label: 'Reason',
            heading: true,
            cell: ({ reason, detail }) => (
              <span class="stacked">
                <span>
                  <i class={`gap-key gap-${reason}`} aria-hidden="true" /> {GAP[reason]}
                </span>
                {detail && <span class="quiet">{detail}</span>}
              </span>
            ),
          },
          { label: 'Length', numeric: true, cell: ({ seconds }) => duration(seconds) },
          { label: 'From', cell: ({ from }) => <LocalTime at={from} /> },
          { label: 'To', only: 'medium', cell: ({ to }) => <LocalTime at={to} /> },
        ]}
      />
      {coverage.gap_count > coverage.gaps.length && (
        <p class="table-note">
          These are the longest {count(coverage.gaps.length)} of {plural(coverage.gap_count, 'gap')}.
        </p>
      )}
    </>
  );
}

export function BootTable({ readiness: { boots, boot_count } }: { readiness: Readiness }) {
  if (boots.length === 0) return <EmptyNotice title="No boot was reported in this window." />;
  return (
    <>
      <Table
        caption="Boots in the window, latest first"
        rows={boots.toReversed()}
        rowKey={({ id }) => id}
        columns={[
          { label: 'Boot', heading: true, cell: ({ id }) => <code title={id}>{id.slice(0, 8)}</code> },
          { label: 'First report', cell: ({ first_report }) => <LocalTime at={first_report} /> },
          { label: 'Last report', cell: ({ last_report }) => <LocalTime at={last_report} /> },
        ]}
      />
      {boot_count > boots.length && (
        <p class="table-note">
          These are the latest {count(boots.length)} of {plural(boot_count, 'boot')}.
        </p>
      )}
    </>
  );
}

export function HostOffenderTable({
  readiness: { offenders, verdict },
  windowQuery,
}: {
  readiness: Readiness;
  windowQuery: string;
}) {
  if (offenders.length === 0) {
    // "None was seen" means "none" only if the host was watched all the time.
    const isProven = verdict === 'ready' || verdict === 'enforced';
    return (
      <EmptyNotice
        title={
          isProven
            ? 'None. No workload calls IMDSv1 on this host.'
            : 'None was seen, but the host was not watched all the time.'
        }
      />
    );
  }
  return (
    <Table
      caption="Offenders, worst first"
      rows={offenders}
      rowKey={({ id }) => id}
      columns={[
        { label: 'Severity', cell: ({ severity }) => <SeverityBadge severity={severity} /> },
        {
          label: 'Workload',
          heading: true,
          cell: ({ id, title, acts_for_others }) => (
            <span class="stacked">
              <a href={`/offenders/${id}${windowQuery}`}>
                <PathText text={title} />
              </a>
              {acts_for_others && <span class="quiet">acts for other programs, which are not known</span>}
            </span>
          ),
        },
        { label: 'IMDSv1 calls', numeric: true, cell: ({ calls_v1 }) => count(calls_v1) },
        {
          label: 'Credentials',
          numeric: true,
          only: 'medium',
          cell: ({ credentials_over_v1 }) => count(credentials_over_v1),
        },
        { label: 'Last IMDSv1', cell: ({ last_v1 }) => <RelativeTime at={last_v1} none="–" /> },
      ]}
    />
  );
}
