(import 'collectors.libsonnet') + (import 'fleet.libsonnet') + (import 'database.libsonnet')
