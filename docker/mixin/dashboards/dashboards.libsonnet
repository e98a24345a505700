(import 'fleet.libsonnet') + (import 'collector.libsonnet')
