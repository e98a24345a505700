/** docker/mixin: what it renders is what is there. Each alert fires when it should, none where all is well, and each has a runbook. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, it } from 'node:test';
import { parse } from 'yaml';
import { programPath } from '../../../lab/engines/need.ts';
import { ROOT } from '../../support/docker/images.ts';
import { allDashboards, expressionsOf } from '../../support/docker/mixin.ts';

const FILES = ['collector-rules.yaml', 'database-rules.yaml'].map((name) =>
  join(ROOT, 'docker/prometheus', name),
);
const promtool = programPath('promtool');
const jsonnet = programPath('jsonnet');

interface Rule {
  alert: string;
  expr: string;
  labels: Record<string, string>;
  annotations: Record<string, string>;
}
type Rules = { groups: { rules: Rule[] }[] };

const read = (path: string) => parse(readFileSync(path, 'utf8'));
const allRules = FILES.flatMap((file) => (read(file) as Rules).groups.flatMap((group) => group.rules));
const rules = allRules.filter(({ alert }) => alert !== undefined);

/** Series of an installation in which all is well, in promtool's notation: begin, growth a minute, minutes. */
const HEALTHY: Record<string, string> = {
  'up{job="imdswatch",instance="a"}': '1+0x200',
  'imdswatch_ready{job="imdswatch",instance="a"}': '1+0x200',
  'imdswatch_ready{job="imdswatch",instance="b"}': '1+0x200',
  'imdswatch_store_copies{job="imdswatch",instance="a"}': '2+0x200',
  'imdswatch_writer_transactions_total{job="imdswatch",result="failed",instance="a"}': '7+0x200',
  'imdswatch_ingest_waiting_agents{job="imdswatch",instance="a"}': '0+0x200',
  'imdswatch_ingest_connections_refused_total{job="imdswatch",reason="over_limit",instance="a"}': '0+0x200',
  'imdswatch_ingest_connections_refused_total{job="imdswatch",reason="unauthorized",instance="a"}': '5+0x200',
  'imdswatch_store_used_bytes{job="imdswatch",instance="a"}': '50+0x200',
  'imdswatch_store_used_bytes{job="imdswatch",instance="b"}': '50+0x200',
  'imdswatch_store_max_bytes{job="imdswatch",instance="a"}': '100+0x200',
  'imdswatch_store_max_bytes{job="imdswatch",instance="b"}': '100+0x200',
  'imdswatch_tls_certificate_expiry_timestamp_seconds{job="imdswatch",instance="a"}': '9000000+0x200',
  'imdswatch_tls_reloads_total{job="imdswatch",result="failed",instance="a"}': '1+0x200',
  'imdswatch_alerts_evaluations_total{job="imdswatch",result="failed",instance="b"}': '1+0x200',
  'imdswatch_alert_destinations{job="imdswatch",state="failing",instance="a"}': '0+0x200',
  'imdswatch_alert_destinations{job="imdswatch",state="off",instance="a"}': '1+0x200',
  'imdswatch_offenders{job="imdswatch",severity="v1",instance="a"}': '4+0x200',
  'imdswatch_hosts{job="imdswatch",state="silent",instance="a"}': '0+0x200',
  'imdswatch_hosts{job="imdswatch",state="online",instance="a"}': '10+0x200',
  'imdswatch_losses_total{job="imdswatch",stage="capture",counter="dropped",instance="a"}': '9+0x200',
  'imdswatch_losses_total{job="imdswatch",stage="calls",counter="unattributed",instance="a"}': '0+1x200',
  'imdswatch_findings_age_seconds{job="imdswatch",instance="a"}': '10+0x200',
  'imdswatch_metrics_findings_failures_total{job="imdswatch",instance="a"}': '0+0x200',
  'imdswatch_retention_runs_total{job="imdswatch",result="failed",instance="a"}': '0+0x200',
  'imdswatch_ingest_connections{job="imdswatch",instance="a"}': '100+0x200',
  'imdswatch_ingest_connections{job="imdswatch",instance="b"}': '100+0x200',
  'imdswatch_lease_held{job="imdswatch",lease="alerts",instance="a"}': '0+0x200',
  'imdswatch_lease_held{job="imdswatch",lease="alerts",instance="b"}': '1+0x200',
  'imdswatch_lease_held{job="imdswatch",lease="retention",instance="a"}': '0+0x200',
  'imdswatch_alerts_given_up_total{job="imdswatch",reason="refused",instance="a"}': '0+0x200',
  'up{job="patroni",instance="1"}': '1+0x200',
  'patroni_primary{scope="imdswatch",instance="1"}': '1+0x200',
  'patroni_primary{scope="imdswatch",instance="2"}': '0+0x200',
  'patroni_sync_standby{scope="imdswatch",instance="1"}': '0+0x200',
  'patroni_sync_standby{scope="imdswatch",instance="2"}': '1+0x200',
  'patroni_postgres_running{scope="imdswatch",instance="1"}': '1+0x200',
  'patroni_xlog_location{scope="imdswatch",instance="1"}': '5000000000+0x200',
  'patroni_xlog_location{scope="imdswatch",instance="2"}': '0+0x200',
  'patroni_xlog_replayed_location{scope="imdswatch",instance="1"}': '0+0x200',
  'patroni_xlog_replayed_location{scope="imdswatch",instance="2"}': '4999000000+0x200',
  'patroni_dcs_last_seen{scope="imdswatch",instance="1"}': '0+60x200',
  'patroni_is_paused{scope="imdswatch",instance="1"}': '0+0x200',
  'haproxy_backend_active_servers{job="haproxy",proxy="postgres_primary",instance="h"}': '1+0x200',
  'haproxy_backend_active_servers{job="haproxy",proxy="collectors_ready",instance="h"}': '3+0x200',
};

/** For each alert the series that make it fire. Where they change in time, they do so half an hour before they are judged. */
const UNWELL: Record<string, Record<string, string>> = {
  ImdswatchNoCollectorReady: {
    'imdswatch_ready{job="imdswatch",instance="a"}': '0+0x200',
    'imdswatch_ready{job="imdswatch",instance="b"}': '0+0x200',
  },
  ImdswatchCollectorDown: { 'up{job="imdswatch",instance="a"}': '0+0x200' },
  ImdswatchCollectorNotReady: { 'imdswatch_ready{job="imdswatch",instance="a"}': '0+0x200' },
  ImdswatchFewerCopies: { 'imdswatch_store_copies{job="imdswatch",instance="a"}': '2+0x100 1+0x100' },
  ImdswatchWritesFail: {
    'imdswatch_writer_transactions_total{job="imdswatch",result="failed",instance="a"}': '0+1x200',
  },
  ImdswatchStoreNearlyFull: { 'imdswatch_store_used_bytes{job="imdswatch",instance="b"}': '95+0x200' },
  ImdswatchCertificateExpiring: {
    'imdswatch_tls_certificate_expiry_timestamp_seconds{job="imdswatch",instance="a"}': '1000000+0x200',
  },
  ImdswatchCertificateNotLoaded: {
    'imdswatch_tls_reloads_total{job="imdswatch",result="failed",instance="a"}': '1+0x100 2+0x100',
  },
  ImdswatchTooMuchOffered: { 'imdswatch_ingest_waiting_agents{job="imdswatch",instance="a"}': '3+0x200' },
  ImdswatchAgentsRefused: {
    'imdswatch_ingest_connections_refused_total{job="imdswatch",reason="over_limit",instance="a"}': '0+5x200',
  },
  ImdswatchAgentsUnauthorized: {
    'imdswatch_ingest_connections_refused_total{job="imdswatch",reason="unauthorized",instance="a"}':
      '0+3x200',
  },
  ImdswatchFindingsOld: { 'imdswatch_findings_age_seconds{job="imdswatch",instance="a"}': '0+60x200' },
  ImdswatchRetentionFails: {
    'imdswatch_retention_runs_total{job="imdswatch",result="failed",instance="a"}': '0+0x50 1+0x150',
  },
  ImdswatchAgentsGone: {
    'imdswatch_ingest_connections{job="imdswatch",instance="a"}': '100+0x100 40+0x100',
    'imdswatch_ingest_connections{job="imdswatch",instance="b"}': '100+0x100 40+0x100',
  },
  ImdswatchAlertsNotEvaluated: {
    'imdswatch_lease_held{job="imdswatch",lease="alerts",instance="b"}': '1+0x100 0+0x100',
  },
  ImdswatchDestinationStuck: {
    'imdswatch_alert_destinations{job="imdswatch",state="failing",instance="a"}': '1+0x200',
  },
  ImdswatchAlertsGivenUp: {
    'imdswatch_alerts_given_up_total{job="imdswatch",reason="refused",instance="a"}': '0+0x100 1+0x100',
  },
  ImdswatchCredentialsOverImdsv1: {
    'imdswatch_offenders{job="imdswatch",severity="credentials",instance="a"}': '2+0x200',
  },
  ImdswatchHostsSilent: { 'imdswatch_hosts{job="imdswatch",state="silent",instance="a"}': '1+0x200' },
  ImdswatchAgentsLose: {
    'imdswatch_losses_total{job="imdswatch",stage="capture",counter="dropped",instance="a"}': '0+1x200',
  },
  PostgresNoPrimary: { 'patroni_primary{scope="imdswatch",instance="1"}': '0+0x200' },
  PostgresTwoPrimaries: { 'patroni_primary{scope="imdswatch",instance="2"}': '1+0x200' },
  PostgresNoSynchronousStandby: { 'patroni_sync_standby{scope="imdswatch",instance="2"}': '0+0x200' },
  PostgresServerDown: { 'patroni_postgres_running{scope="imdswatch",instance="1"}': '0+0x200' },
  PostgresStandbyBehind: {
    'patroni_xlog_replayed_location{scope="imdswatch",instance="2"}': '1000000000+0x200',
  },
  PostgresEtcdLost: { 'patroni_dcs_last_seen{scope="imdswatch",instance="1"}': '0+60x100 6000+0x100' },
  PostgresFailoverPaused: { 'patroni_is_paused{scope="imdswatch",instance="1"}': '1+0x200' },
  HaproxyNoPrimary: {
    'haproxy_backend_active_servers{job="haproxy",proxy="postgres_primary",instance="h"}': '0+0x200',
  },
  HaproxyFewCollectors: {
    'haproxy_backend_active_servers{job="haproxy",proxy="collectors_ready",instance="h"}': '1+0x200',
  },
};
/** Minutes after the beginning. */
const JUDGED_AT = '130m';

function unitTest(name: string, changed: Record<string, string>, firing: readonly string[]): object {
  return {
    name,
    interval: '1m',
    input_series: Object.entries({ ...HEALTHY, ...changed }).map(([series, values]) => ({ series, values })),
    promql_expr_test: [
      {
        expr: 'max by (alertname) (ALERTS{alertstate="firing"})',
        eval_time: JUDGED_AT,
        exp_samples: firing.map((alertname) => ({ labels: `{alertname="${alertname}"}`, value: 1 })),
      },
    ],
  };
}

describe('alert rules of Prometheus', () => {
  it('are about metrics that collectors have', () => {
    const documented = readFileSync(join(ROOT, 'docs/api.md'), 'utf8');
    const known = new Set(
      [...documented.matchAll(/^\| `(imdswatch_\w+)(?:\{[^}]*\})?` \|/gm)].map(([, name]) => name),
    );
    const written = [
      ...allRules.map(({ expr }) => expr),
      ...allDashboards().flatMap(({ dashboard }) => expressionsOf(dashboard)),
    ];
    assert.ok(written.length > 80, String(written.length));
    for (const expr of written) {
      for (const [, name] of expr.matchAll(/(?<![\w:])(imdswatch_\w+?)(?:_bucket|_count)?(?=[{)])/g)) {
        assert.ok(known.has(name), `${expr}: ${name}`);
      }
    }
  });

  it('say what to do, each under a name of its own', () => {
    assert.equal(new Set(rules.map(({ alert }) => alert)).size, rules.length);
    for (const { alert, labels, annotations } of rules) {
      assert.deepEqual(Object.keys(annotations).sort(), ['description', 'runbook_url', 'summary'], alert);
      assert.match(annotations['summary']!, /\.$/, alert);
      assert.match(annotations['description']!, /\.$/, alert);
      assert.match(labels['severity']!, /^(critical|warning)$/, alert);
    }
  });

  it('each has a section of docs/operate.md that says what it means, what to check and what to do', () => {
    const sections = new Map(
      readFileSync(join(ROOT, 'docs/operate.md'), 'utf8')
        .split(/^#+ /m)
        .map((section) => [section.slice(0, section.indexOf('\n')), section]),
    );
    for (const { alert, annotations } of rules) {
      const [address, anchor] = annotations['runbook_url']!.split('#');
      assert.match(address!, /\/operate\.md$/, alert);
      assert.equal(anchor, alert.toLowerCase());
      assert.match(sections.get(alert) ?? '', /\nMeans: [^\n]+[\s\S]*\nCheck: [^\n]+[\s\S]*\nDo: /, alert);
    }
  });

  it('and dashboards are what the mixin renders', (t) => {
    if (jsonnet === null) return t.skip('jsonnet is missing (Debian jsonnet)');
    const directory = mkdtempSync(join(tmpdir(), 'imdswatch-mixin-'));
    try {
      execFileSync(join(ROOT, 'docker/mixin/render'), [directory], { stdio: 'pipe' });
      const files = readdirSync(directory, { recursive: true, encoding: 'utf8' }).filter((name) =>
        /\.(yaml|json)$/.test(name),
      );
      assert.equal(files.length, 7);
      for (const name of files) {
        assert.deepEqual(
          read(join(directory, name)),
          read(join(ROOT, 'docker', name)),
          `docker/${name} differs from the mixin: run docker/mixin/render`,
        );
      }
    } finally {
      rmSync(directory, { recursive: true });
    }
  });

  it('are the same for the Prometheus operator', () => {
    const resource = read(join(ROOT, 'docker/kubernetes/components/prometheus/rules.yaml'));
    assert.equal(resource.kind, 'PrometheusRule');
    assert.deepEqual(resource.spec, read(FILES[0]!));
  });

  it('each fires when it should, and none where all is well', (t) => {
    if (promtool === null) return t.skip('promtool is missing (Debian prometheus)');
    assert.deepEqual(
      Object.keys(UNWELL),
      rules.map(({ alert }) => alert),
    );
    // All together, because promtool takes a second for each test. These two exclude each other.
    const { PostgresTwoPrimaries, ...others } = UNWELL;
    const tests = [
      unitTest('all is well', {}, []),
      unitTest('two primaries', PostgresTwoPrimaries!, ['PostgresTwoPrimaries']),
      unitTest('all is unwell', Object.assign({}, ...Object.values(others)), Object.keys(others)),
    ];
    const directory = mkdtempSync(join(tmpdir(), 'imdswatch-rules-'));
    try {
      const file = join(directory, 'tests.yaml');
      writeFileSync(file, JSON.stringify({ rule_files: FILES, evaluation_interval: '1m', tests }));
      execFileSync(promtool, ['check', 'rules', ...FILES], { stdio: 'pipe' });
      execFileSync(promtool, ['test', 'rules', file], { stdio: 'pipe' });
    } finally {
      rmSync(directory, { recursive: true });
    }
  });
});
