// Panels of a classic dashboard. Their data source is the variable $datasource, so that no dashboard names one.
local datasource = { type: 'prometheus', uid: '${datasource}' };
local options(legend) = {
  legend: { displayMode: 'list', placement: 'bottom', showLegend: legend },
  tooltip: { mode: 'multi', sort: 'desc' },
};

{
  // A query: its legend may name labels, such as {{verdict}}.
  query(expr, legend=''):: { expr: expr, legendFormat: legend },

  local panel(type, title, description, queries) = {
    type: type,
    title: title,
    description: description,
    datasource: datasource,
    targets: [
      {
        datasource: datasource,
        editorMode: 'code',
        expr: queries[i].expr,
        legendFormat: queries[i].legendFormat,
        range: true,
        refId: std.char(65 + i),
      }
      for i in std.range(0, std.length(queries) - 1)
    ],
  },

  stat(title, description, expr, unit='none', thresholds=[]):: panel('stat', title, description, [self.query(expr)]) + {
    fieldConfig: {
      defaults: {
        unit: unit,
        color: { mode: 'thresholds' },
        thresholds: { mode: 'absolute', steps: [{ color: 'text', value: null }] + thresholds },
      },
      overrides: [],
    },
    options: {
      colorMode: 'value',
      graphMode: 'area',
      justifyMode: 'auto',
      orientation: 'auto',
      reduceOptions: { calcs: ['lastNotNull'], fields: '', values: false },
      textMode: 'auto',
    },
  },

  series(title, description, queries, unit='short', stacked=false):: panel('timeseries', title, description, queries) + {
    fieldConfig: {
      defaults: {
        unit: unit,
        min: 0,
        color: { mode: 'palette-classic' },
        custom: {
          drawStyle: 'line',
          lineWidth: 1,
          fillOpacity: if stacked then 40 else 5,
          showPoints: 'never',
          spanNulls: false,
          stacking: { group: 'A', mode: if stacked then 'normal' else 'none' },
        },
      },
      overrides: [],
    },
    options: options(true),
  },

  // Places rows of panels one below the other. A row has a title, a height and panels of equal width.
  row(title, height, panels):: { title: title, height: height, panels: panels },

  local place(rows) =
    // Elements of arrays are computed once. Fields of objects would be computed anew at each use.
    local tops = std.foldl(function(done, row) done + [done[std.length(done) - 1] + 1 + row.height], rows, [0]);
    std.flattenArrays([
      local row = rows[at];
      local width = std.floor(24 / std.length(row.panels));
      [{ type: 'row', title: row.title, collapsed: false, gridPos: { x: 0, y: tops[at], w: 24, h: 1 }, panels: [] }] + [
        row.panels[i] { gridPos: { x: i * width, y: tops[at] + 1, w: width, h: row.height } }
        for i in std.range(0, std.length(row.panels) - 1)
      ]
      for at in std.range(0, std.length(rows) - 1)
    ]),

  variable(name, label, query):: {
    type: 'query',
    name: name,
    label: label,
    datasource: datasource,
    definition: query,
    query: { query: query, refId: 'variable' },
    refresh: 2,
    sort: 1,
    hide: 0,
    includeAll: false,
    multi: false,
    options: [],
    current: {},
  },
  all(variable):: variable { includeAll: true, multi: true, current: { selected: true, text: ['All'], value: ['$__all'] } },

  dashboard(config, uid, title, description, variables, rows):: {
    uid: uid,
    title: title,
    description: description,
    tags: config.dashboardTags,
    schemaVersion: 36,
    version: 1,
    editable: true,
    graphTooltip: 1,
    refresh: config.dashboardRefresh,
    time: { from: 'now-24h', to: 'now' },
    timezone: '',
    annotations: { list: [] },
    links: [{ type: 'dashboards', title: 'imdswatch', tags: config.dashboardTags, asDropdown: true, includeVars: true, keepTime: true, targetBlank: false, icon: 'external link', tooltip: '', url: '' }],
    templating: {
      list: [
        { type: 'datasource', name: 'datasource', label: 'Data source', query: 'prometheus', refresh: 1, hide: 0, includeAll: false, multi: false, options: [], current: {}, regex: '' },
      ] + variables,
    },
    panels: (
      local placed = place(rows);
      [placed[i] { id: i + 1 } for i in std.range(0, std.length(placed) - 1)]
    ),
  },
}
