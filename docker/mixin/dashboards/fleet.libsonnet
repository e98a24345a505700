// The fleet: who still calls IMDSv1, which hosts are ready, and what was not seen.
local p = import 'panels.libsonnet';
local fleet(metric, labels) = 'max by (%s) (%s{job="$job"})' % [labels, metric];
local increase(metric, labels) = 'sum by (%s) (increase(%s{job="$job"}[$__rate_interval]))' % [labels, metric];
local orange(from) = [{ color: 'orange', value: from }];
local red(from) = [{ color: 'red', value: from }];

{
  grafanaDashboards+:: {
    'imdswatch-fleet.json': p.dashboard(
      $._config,
      'imdswatch-fleet',
      'imdswatch / Fleet',
      'Who still calls IMDSv1, which hosts are ready to require tokens, and what was not seen.',
      [p.variable('job', 'Job', 'label_values(imdswatch_ready, job)')],
      [
        p.row('Now', 5, [
          p.stat('Hosts', 'Hosts that have ever reported.', 'sum(%s)' % fleet('imdswatch_hosts', 'state')),
          p.stat(
            'Ready or enforced',
            'Part of the hosts that may require tokens, or do.',
            'sum(max by (verdict) (imdswatch_hosts_readiness{job="$job",verdict=~"ready|enforced"})) / sum(%s)' % fleet('imdswatch_hosts_readiness', 'verdict'),
            'percentunit'
          ),
          p.stat('Silent hosts', 'Hosts whose agent does not report.', 'sum(max by (state) (imdswatch_hosts{job="$job",state="silent"}))', 'none', orange(1)),
          p.stat(
            'Offenders',
            'Workloads with IMDSv1 calls in the window.',
            'sum(max by (severity) (imdswatch_offenders{job="$job",severity!="none"})) or vector(0)',
            'none',
            orange(1)
          ),
          p.stat(
            'Credentials over IMDSv1',
            'Workloads that read role credentials without a token, and got them.',
            'max(imdswatch_offenders{job="$job",severity="credentials"}) or vector(0)',
            'none',
            red(1)
          ),
        ]),
        p.row('Readiness', 8, [
          p.series('Hosts by verdict', 'Unproven hosts were not watched all the time: they are not ready.', [p.query(fleet('imdswatch_hosts_readiness', 'verdict'), '{{verdict}}')], 'short', true),
          p.series('Auto Scaling groups by verdict', 'The verdict of each group about all of its instances.', [p.query(fleet('imdswatch_groups_readiness', 'verdict'), '{{verdict}}')], 'short', true),
        ]),
        p.row('Offenders', 8, [
          p.series('Offenders by severity', 'Workloads in the window. None: they use IMDSv2 only.', [p.query(fleet('imdswatch_offenders', 'severity'), '{{severity}}')]),
          p.series('Offenders by owner', 'Owners come from triage and owner_rules. None: nobody owns them.', [p.query('sum by (owner) (%s)' % fleet('imdswatch_owner_offenders', 'owner, severity'), '{{owner}}')]),
        ]),
        p.row('Calls', 8, [
          p.series('Calls by version', 'Calls a second that were stored, roll-ups included.', [p.query('sum by (imds_version) (rate(imdswatch_calls_total{job="$job"}[$__rate_interval]))', 'IMDSv{{imds_version}}')], 'reqps'),
          p.series('IMDSv1 calls by category', 'Calls a second without a token.', [p.query('sum by (category) (rate(imdswatch_calls_total{job="$job",imds_version="1"}[$__rate_interval]))', '{{category}}')], 'reqps'),
        ]),
        p.row('What was not seen', 8, [
          p.series('Hosts by state', 'A silent host sends no heartbeats.', [p.query(fleet('imdswatch_hosts', 'state'), '{{state}}')]),
          p.series('Losses', 'Counters of lost packets and records, as docs/events.md explains them.', [p.query(increase('imdswatch_losses_total', 'stage, counter') + ' > 0 or sum by (stage, counter) (imdswatch_losses_total{job="$job"}) * 0', '{{stage}}.{{counter}}')]),
          p.series('Unwatched time', 'Seconds that agents could not watch.', [p.query(increase('imdswatch_unwatched_seconds_total', 'stage, counter'), '{{stage}}.{{counter}}')], 's'),
        ]),
        p.row('Teams and agents', 8, [
          p.series('Hosts that are not ready, by metrics_group_tag', 'Needs the setting metrics_group_tag.', [p.query('sum by (group) (max by (group, verdict) (imdswatch_group_hosts_readiness{job="$job",verdict!~"ready|enforced"}))', '{{group}}')]),
          p.series('Connected agents by release', 'Upgrade collectors first, then agents.', [p.query('sum by (version) (imdswatch_agents{job="$job"})', '{{version}}')], 'short', true),
        ]),
      ]
    ),
  },
}
