// Alerts about a PostgreSQL that one runs with Patroni, and about HAProxy in front of it and of the collectors. Scrape
// Patroni's REST port 8008 (https, path /metrics) as the job "patroni" and HAProxy's METRICS_BIND (port 8405) as the job
// "haproxy". A managed database has alarms of its own (docs/scale.md).
{
  local alert = (import '../alert.libsonnet')($._config),
  databaseAlerts+:: {
    groups+: [
      {
        name: 'imdswatch-database',
        rules: [
          alert.critical(
            'PostgresNoPrimary',
            'sum(patroni_primary{%(patroniSelector)s}) == 0 or absent(patroni_primary{%(patroniSelector)s})',
            '1m',
            'The database has had no primary for a minute.',
            'A failover takes about 20 s. Look at `patronictl list` and at etcd. Nothing is stored meanwhile, and agents keep their records.'
          ),
          alert.critical(
            'PostgresTwoPrimaries',
            'sum(patroni_primary{%(patroniSelector)s}) > 1',
            '1m',
            'Two servers say that they are the primary.',
            'Stop the one that etcd does not name (`patronictl list`). With synchronous_mode_strict it cannot have confirmed anything that the other lacks.'
          ),
          alert.critical(
            'PostgresNoSynchronousStandby',
            'sum(patroni_sync_standby{%(patroniSelector)s}) == 0',
            '2m',
            'No standby confirms commits, so nothing is acknowledged.',
            'With synchronous_mode_strict commits wait. Start the standbys again; `patronictl list` shows their state.'
          ),
          alert.warning(
            'PostgresServerDown',
            'patroni_postgres_running{%(patroniSelector)s} == 0 or up{%(patroniJob)s} == 0',
            '5m',
            'The PostgreSQL server {{ $labels.instance }} is down.',
            'The cluster works with the others. It survives no further loss until this one is back.'
          ),
          alert.warning(
            'PostgresStandbyBehind',
            'max(patroni_xlog_location{%(patroniSelector)s}) - on() group_right() (patroni_xlog_replayed_location{%(patroniSelector)s} > 0) > 1073741824',
            '10m',
            'The standby {{ $labels.instance }} is more than 1 GiB behind.',
            'It cannot take over soon. Look at its disk and its network, and for questions that keep it from replaying.'
          ),
          alert.critical(
            'PostgresEtcdLost',
            'time() - patroni_dcs_last_seen{%(patroniSelector)s} > 60',
            '1m',
            'Patroni on {{ $labels.instance }} has not reached etcd for a minute.',
            'No failover is possible without etcd. With failsafe_mode the primary goes on while it reaches all standbys.'
          ),
          alert.warning(
            'PostgresFailoverPaused',
            'patroni_is_paused{%(patroniSelector)s} == 1',
            '1h',
            'Automatic failover has been switched off for an hour.',
            '`patronictl resume` switches it on.'
          ),
          alert.critical(
            'HaproxyNoPrimary',
            'haproxy_backend_active_servers{%(haproxySelector)s,proxy="postgres_primary"} == 0',
            '1m',
            'HAProxy on {{ $labels.instance }} has had no primary for a minute.',
            'If Patroni has one, look at the way from HAProxy to port 8008 of the servers, and at its certificates.'
          ),
          alert.warning(
            'HaproxyFewCollectors',
            'haproxy_backend_active_servers{%(haproxySelector)s,proxy="collectors_ready"} < 2',
            '10m',
            'HAProxy on {{ $labels.instance }} has {{ $value }} collectors that are ready.',
            'With fewer than two, the next one that ends takes the page with it.'
          ),
        ],
      },
    ],
  },
}
