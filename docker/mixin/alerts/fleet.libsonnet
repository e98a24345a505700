// Alerts about the fleet. The alerts of imdswatch itself name the offender and the host; a gauge cannot.
{
  local alert = (import '../alert.libsonnet')($._config),
  prometheusAlerts+:: {
    groups+: [
      {
        name: 'imdswatch-fleet',
        rules: [
          alert.warning(
            'ImdswatchCredentialsOverImdsv1',
            'max without (%(instanceLabels)s) (imdswatch_offenders{%(selector)s,severity="credentials"}) > 0',
            '5m',
            '{{ $value }} workloads read role credentials over IMDSv1.',
            'A request that an attacker makes a program send (SSRF) reads the same credentials. "imdswatch offenders" and the page name them and say how to fix them.'
          ),
          alert.warning(
            'ImdswatchHostsSilent',
            'max without (%(instanceLabels)s) (imdswatch_hosts{%(selector)s,state="silent"}) > 0',
            '15m',
            '{{ $value }} hosts do not report.',
            'Nobody knows what calls IMDSv1 there, and their verdict becomes unproven. The overview of the page lists them.'
          ),
          alert.warning(
            'ImdswatchAgentsLose',
            'sum by (stage, counter) (rate(imdswatch_losses_total{%(selector)s,stage=~"capture|coverage|spool|namespaces"}[1h])) * 3600 > 0',
            '2h',
            'Agents have lost {{ $value | humanize }} {{ $labels.stage }}.{{ $labels.counter }} an hour for two hours.',
            'The hosts concerned have gaps and become unproven. The page lists the gaps of each host with their counters.'
          ),
        ],
      },
    ],
  },
}
