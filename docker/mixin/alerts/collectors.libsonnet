// Alerts about collectors: whether they take records, store them, and deliver alerts.
{
  local alert = (import '../alert.libsonnet')($._config),
  prometheusAlerts+:: {
    groups+: [
      {
        name: 'imdswatch-collectors',
        rules: [
          alert.critical(
            'ImdswatchNoCollectorReady',
            'sum(imdswatch_ready{%(selector)s}) == 0 or absent(imdswatch_ready{%(selector)s})',
            '2m',
            'No collector takes records.',
            'Agents keep their records in their spools, and lose nothing until those are full. /readyz of a collector says why. Usually the database has no primary, or no standby that confirms commits.'
          ),
          alert.warning(
            'ImdswatchCollectorDown',
            'up{%(selector)s} == 0',
            '5m',
            'The collector {{ $labels.instance }} does not answer.',
            'Its agents have gone to the other collectors, if there are any. A collector also refuses the scrape while the database is away, because it cannot check the token of Prometheus.'
          ),
          alert.warning(
            'ImdswatchCollectorNotReady',
            'imdswatch_ready{%(selector)s} == 0',
            '5m',
            'The collector {{ $labels.instance }} takes no records.',
            'Its /readyz and its log say why. If only this one is concerned, look at its way to the database.'
          ),
          alert.critical(
            'ImdswatchFewerCopies',
            'imdswatch_store_copies{%(selector)s} < max_over_time(imdswatch_store_copies{%(selector)s}[1d])',
            '5m',
            'What is acknowledged is on {{ $value }} machines, and was on more within the last day.',
            'A setting of the database has changed (synchronous_standby_names, synchronous_commit, fsync), or Patroni runs without synchronous_mode_strict and has lost its standbys. The loss of one machine may lose records now.'
          ),
          alert.critical(
            'ImdswatchWritesFail',
            'increase(imdswatch_writer_transactions_total{%(selector)s,result="failed"}[5m]) > 0',
            '10m',
            'Transactions of the collector {{ $labels.instance }} have failed for ten minutes.',
            'Agents send these records again. The log of the collector has the error of the store; often its disk is full.'
          ),
          alert.warning(
            'ImdswatchStoreNearlyFull',
            'max without (%(instanceLabels)s) (imdswatch_store_used_bytes{%(selector)s}) > %(storeNearlyFull)s * max without (%(instanceLabels)s) (imdswatch_store_max_bytes{%(selector)s})',
            '1h',
            'The store uses {{ $value | humanize1024 }}B, which is nearly max_bytes of retention.',
            'Beyond the limit the oldest single calls are deleted before raw_days. Verdicts are not harmed, because they are made of sums; the list of single calls becomes shorter.'
          ),
          alert.warning(
            'ImdswatchCertificateExpiring',
            '(imdswatch_tls_certificate_expiry_timestamp_seconds{%(selector)s} - time()) / 86400 < %(certificateDays)s',
            '1h',
            'The certificate of the collector {{ $labels.instance }} ends in {{ $value | humanize }} days.',
            'Agents and people cannot connect when it has ended. Put a new certificate in place: the collector loads it within 30 s.'
          ),
          alert.warning(
            'ImdswatchCertificateNotLoaded',
            'increase(imdswatch_tls_reloads_total{%(selector)s,result="failed"}[1h]) > 0',
            null,
            'The collector {{ $labels.instance }} could not load its new certificate.',
            'The old one stays in use until it ends. The log of the collector has the reason.'
          ),
          alert.warning(
            'ImdswatchTooMuchOffered',
            'imdswatch_ingest_waiting_agents{%(selector)s} > 0',
            '30m',
            'Agents of {{ $labels.instance }} have waited for their turn for half an hour.',
            'They offer more than the collector or the database can store. Nothing is lost while their spools have room. Add a collector if its processor is busy, else look at the database.'
          ),
          alert.warning(
            'ImdswatchAgentsRefused',
            'increase(imdswatch_ingest_connections_refused_total{%(selector)s,reason="over_limit"}[10m]) > 0',
            '10m',
            'The collector {{ $labels.instance }} has as many agents as it may have.',
            'Raise max_connections, or add a collector.'
          ),
          alert.warning(
            'ImdswatchAgentsUnauthorized',
            'sum by (reason) (increase(imdswatch_ingest_connections_refused_total{%(selector)s,reason=~"unauthorized|foreign_host"}[15m])) > 5',
            '15m',
            'Agents are refused again and again: {{ $labels.reason }}.',
            'Somebody uses a wrong token or claims to be another host, or a credential was revoked. The log of the collector has the addresses.'
          ),
          alert.warning(
            'ImdswatchFindingsOld',
            'imdswatch_findings_age_seconds{%(selector)s} > 900 or increase(imdswatch_metrics_findings_failures_total{%(selector)s}[15m]) > 5',
            '5m',
            'Questions to the store of {{ $labels.instance }} fail or take too long.',
            'The page shows errors or old numbers. Look for long queries in pg_stat_activity (application_name "imdswatch reader").'
          ),
          alert.warning(
            'ImdswatchRetentionFails',
            'sum(increase(imdswatch_retention_runs_total{%(selector)s,result="failed"}[6h])) > 0',
            '1h',
            'Old records could not be deleted.',
            'The disk fills up. The log of the collector that had the lease says why.'
          ),
          alert.warning(
            'ImdswatchAgentsGone',
            'sum(imdswatch_ingest_connections{%(selector)s}) < 0.5 * sum(imdswatch_ingest_connections{%(selector)s} offset 1h)',
            '10m',
            '{{ $value }} agents are connected, which is less than half of those of an hour ago.',
            'So many at once usually means a load balancer, a firewall or a certificate between agents and collectors.'
          ),
          alert.warning(
            'ImdswatchAlertsNotEvaluated',
            'sum(imdswatch_lease_held{%(selector)s,lease="alerts"}) < 1 or sum(increase(imdswatch_alerts_evaluations_total{%(selector)s,result="failed"}[10m])) > 5',
            '5m',
            'The alert rules are not evaluated.',
            'One of the collectors that share a database evaluates them, by a lease of some seconds. None could take it for five minutes, or the evaluations fail. The logs of the collectors name the error of the store or a wrong clock.'
          ),
          alert.warning(
            'ImdswatchDestinationStuck',
            'max without (%(instanceLabels)s) (imdswatch_alert_destinations{%(selector)s,state="failing"}) > 0',
            '30m',
            '{{ $value }} destinations have accepted nothing for half an hour, and alerts or records of a stream wait for them.',
            'An alert is given up when it has waited for a day, and a record of a stream when retention deletes it. The page and "imdswatch alert list" name the destination and its last error.'
          ),
          alert.warning(
            'ImdswatchAlertsGivenUp',
            'sum(increase(imdswatch_alerts_given_up_total{%(selector)s}[1h])) > 0',
            null,
            'Alerts were refused, or not delivered for a day, and are dropped.',
            'The page names the destination under Settings, Alerts.'
          ),
        ],
      },
    ],
  },
}
