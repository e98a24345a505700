// The rule files that are made from the mixin, by their path below docker/. Run `docker/mixin/render`.
local mixin = import 'mixin.libsonnet';
local yaml(value) = '# Made from docker/mixin by docker/mixin/render. Change that, not this.\n' + std.manifestYamlDoc(value);
local rules = { groups: mixin.prometheusRules.groups + mixin.prometheusAlerts.groups };

{
  'prometheus/collector-rules.yaml': yaml(rules),
  'prometheus/database-rules.yaml': yaml(mixin.databaseAlerts),
}
