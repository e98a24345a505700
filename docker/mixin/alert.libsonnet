// Makes one alert. Its runbook is the section of docs/operate.md that has its name.
function(config) {
  critical:: self.of('critical'),
  warning:: self.of('warning'),
  of(severity):: function(name, expr, wait, summary, description) {
    alert: name,
    expr: expr % config,
    [if wait != null then 'for']: wait,
    labels: { severity: severity },
    annotations: {
      summary: summary,
      description: description,
      runbook_url: '%s#%s' % [config.runbookUrl, std.asciiLower(name)],
    },
  },
}
