// Metrics of the fleet are the same at every collector that shares a database: `max` takes them once. Metrics of one
// collector are added up.
{
  local record(name, expr) = { record: name, expr: expr % $._config },
  prometheusRules+:: {
    groups+: [
      {
        name: 'imdswatch-records',
        rules: [
          record('job:imdswatch_hosts:max', 'max without (%(instanceLabels)s) (imdswatch_hosts{%(selector)s})'),
          record('job:imdswatch_hosts_readiness:max', 'max without (%(instanceLabels)s) (imdswatch_hosts_readiness{%(selector)s})'),
          record(
            'job:imdswatch_hosts_ready:ratio',
            'sum without (verdict) (job:imdswatch_hosts_readiness:max{verdict=~"ready|enforced"}) / sum without (verdict) (job:imdswatch_hosts_readiness:max)'
          ),
          record('job:imdswatch_offenders:max', 'max without (%(instanceLabels)s) (imdswatch_offenders{%(selector)s})'),
          record('job:imdswatch_calls:rate5m', 'sum without (%(instanceLabels)s) (rate(imdswatch_calls_total{%(selector)s}[5m]))'),
          record('job:imdswatch_losses:rate5m', 'sum without (%(instanceLabels)s) (rate(imdswatch_losses_total{%(selector)s}[5m]))'),
        ],
      },
    ],
  },
}
