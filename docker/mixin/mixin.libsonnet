// Alerts, recording rules and dashboards for imdswatch: prometheusAlerts, prometheusRules, grafanaDashboards, _config.
// databaseAlerts, for those who run PostgreSQL and HAProxy themselves, are apart.
(import 'config.libsonnet') +
(import 'alerts/alerts.libsonnet') +
(import 'rules/rules.libsonnet') +
(import 'dashboards/dashboards.libsonnet')
