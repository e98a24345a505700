// The collectors: what they take, store, answer and deliver.
local p = import 'panels.libsonnet';
local selector = 'job="$job",instance=~"$instance"';
local rate(metric, labels='', by='instance') =
  'sum by (%s) (rate(%s{%s%s}[$__rate_interval]))' % [by, metric, selector, if labels == '' then '' else ',' + labels];
local sum(metric, by='instance') = 'sum by (%s) (%s{%s})' % [by, metric, selector];
local quantile(q) =
  'histogram_quantile(%s, sum by (le) (rate(imdswatch_http_request_duration_seconds_bucket{%s}[$__rate_interval])))' % [q, selector];

{
  grafanaDashboards+:: {
    'imdswatch-collector.json': p.dashboard(
      $._config,
      'imdswatch-collector',
      'imdswatch / Collector',
      'What the collectors take, store, answer and deliver.',
      [
        p.variable('job', 'Job', 'label_values(imdswatch_ready, job)'),
        p.all(p.variable('instance', 'Collector', 'label_values(imdswatch_ready{job="$job"}, instance)')),
      ],
      [
        p.row('Now', 5, [
          p.stat('Ready', 'Collectors that take records.', 'sum(imdswatch_ready{%s})' % selector, 'none', []),
          p.stat('Agents', 'Agents that are connected.', 'sum(imdswatch_ingest_connections{%s})' % selector),
          p.stat('Copies', 'Machines that have what is acknowledged.', 'min(imdswatch_store_copies{%s})' % selector),
          p.stat('Store', 'Part of max_bytes that is used.', 'max(imdswatch_store_used_bytes{job="$job"}) / max(imdswatch_store_max_bytes{job="$job"})', 'percentunit', [{ color: 'orange', value: 0.9 }]),
          p.stat('Alerts that wait', 'For destinations that are switched on.', 'max(imdswatch_alerts_waiting{job="$job"})'),
          p.stat('Certificate', 'Time until the first certificate ends.', 'min(imdswatch_tls_certificate_expiry_timestamp_seconds{%s}) - time()' % selector, 's', []),
        ]),
        p.row('Ingest', 8, [
          p.series('Agents', 'Connected agents by collector.', [p.query(sum('imdswatch_ingest_connections'), '{{instance}}')]),
          p.series('Records', 'Records a second that were stored.', [p.query(rate('imdswatch_writer_records_total', 'result="stored"'), '{{instance}}')], 'ops'),
          p.series('Refused and closed', 'Connections of agents a second, by reason.', [
            p.query(rate('imdswatch_ingest_connections_refused_total', by='reason'), '{{reason}}'),
            p.query(rate('imdswatch_ingest_connections_closed_total', by='reason'), '{{reason}}'),
          ], 'ops'),
        ]),
        p.row('Store', 8, [
          p.series('Transactions', 'A failed one is sent again by the agents.', [p.query(rate('imdswatch_writer_transactions_total', by='instance, result'), '{{instance}} {{result}}')], 'ops'),
          p.series('Backlog', 'Bytes of batches that wait for the store.', [p.query(sum('imdswatch_ingest_backlog_bytes'), '{{instance}}')], 'bytes'),
          p.series('Agents that wait for their turn', 'The backlog is full: the collector or the store is too slow.', [p.query(sum('imdswatch_ingest_waiting_agents'), '{{instance}}')]),
          p.series('Size', 'Of the store, and its limit.', [
            p.query('max(imdswatch_store_used_bytes{job="$job"})', 'used'),
            p.query('max(imdswatch_store_max_bytes{job="$job"})', 'max_bytes'),
          ], 'bytes'),
        ]),
        p.row('API and page', 8, [
          p.series('Latency', 'Of all requests.', [p.query(quantile(0.5), '50 %'), p.query(quantile(0.95), '95 %'), p.query(quantile(0.99), '99 %')], 's'),
          p.series('Requests', 'By status.', [p.query(rate('imdswatch_http_request_duration_seconds_count', by='status'), '{{status}}')], 'reqps'),
          p.series('Refused', 'Requests without a valid credential, and beyond the rate limit.', [
            p.query(rate('imdswatch_access_refused_total', by='reason'), '{{reason}}'),
            p.query(rate('imdswatch_http_rate_limited_total', by='job'), 'rate limit'),
          ], 'reqps'),
          p.series('Age of findings', 'Of what these dashboards and the page show.', [p.query('max by (instance) (imdswatch_findings_age_seconds{%s})' % selector, '{{instance}}')], 's'),
        ]),
        p.row('Alerts and retention', 8, [
          p.series('Deliveries', 'A second, by result.', [
            p.query(rate('imdswatch_alerts_delivered_total', by='job'), 'delivered'),
            p.query(rate('imdswatch_alerts_attempts_failed_total', by='job'), 'failed attempts'),
            p.query(rate('imdswatch_alerts_given_up_total', by='reason'), 'given up: {{reason}}'),
          ], 'ops'),
          p.series('Destinations', 'By state.', [p.query('max by (state) (imdswatch_alert_destinations{job="$job"})', '{{state}}')]),
          p.series('Leases', 'Which collector evaluates alerts, and which one deletes.', [p.query(sum('imdswatch_lease_held', 'instance, lease'), '{{lease}}: {{instance}}')]),
          p.series('Deleted by retention', 'Rows a second.', [p.query(rate('imdswatch_retention_deleted_total', by='kind'), '{{kind}}')], 'ops'),
        ]),
        p.row('Process', 8, [
          p.series('Processor', 'Cores.', [p.query(rate('process_cpu_seconds_total'), '{{instance}}')]),
          p.series('Memory', 'Resident bytes.', [p.query(sum('process_resident_memory_bytes'), '{{instance}}')], 'bytes'),
          p.series('Event loop', 'Delay, 99th percentile.', [p.query('max by (instance) (nodejs_eventloop_lag_p99_seconds{%s})' % selector, '{{instance}}')], 's'),
        ]),
      ]
    ),
  },
}
