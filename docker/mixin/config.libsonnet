// Settings of the mixin. Override them: (import 'mixin.libsonnet') { _config+:: { selector: 'job="other"' } }
{
  _config+:: {
    // The job under which Prometheus scrapes the collectors.
    selector: 'job="imdswatch"',
    // Patroni's scope, and the job under which Prometheus scrapes HAProxy.
    patroniSelector: 'scope="imdswatch"',
    patroniJob: 'job="patroni"',
    haproxySelector: 'job="haproxy"',
    // Labels that tell one collector from another. Metrics of the fleet are the same at each of them.
    instanceLabels: 'instance, pod, endpoint, container',
    // Where your people read docs/operate.md. example.com belongs to nobody (RFC 2606): put your own address here.
    runbookUrl: 'https://docs.example.com/imdswatch/operate.md',
    // Part of max_bytes that the store may use before an alert.
    storeNearlyFull: 0.9,
    certificateDays: 14,
    dashboardTags: ['imdswatch'],
    dashboardRefresh: '1m',
  },
}
