/** The tables of docs/integrations.md: names, from the mapping of the shapes, and what the presets take. */
import { presets, servedPresets } from '../../collector/alert/http/presets.ts';
import { CALL_MAPPING, FINDING_MAPPING } from '../../collector/export/mapping.ts';
import { code, table } from './generated_part.ts';

export async function integrationParts(): Promise<Map<string, string>> {
  return new Map([
    ['preset_shapes', await presetShapes()],
    ['sentinel_columns', await sentinelColumns()],
    [
      'call_mapping',
      table(
        ['ours', 'OTLP', 'OCSF 1.5', 'ECS 9.4'],
        CALL_MAPPING.map(({ ours, otlp, ocsf, ecs }) => [code(ours), ...[otlp, ocsf, ecs].map(listed)]),
      ),
    ],
    [
      'finding_mapping',
      table(
        ['ours', 'OTLP', 'OCSF 1.5', 'ECS 9.4', 'ASFF'],
        FINDING_MAPPING.map(({ ours, otlp, ocsf, ecs, asff }) => [
          code(ours),
          ...[otlp, ocsf, ecs, asff].map(listed),
        ]),
      ),
    ],
  ]);
}

async function presetShapes(): Promise<string> {
  const rows = (await servedPresets()).flatMap(({ name, streams, shapes }) =>
    streams.map((stream) => [code(name), stream, listed(shapes[stream] ?? [])]),
  );
  return table(['preset', 'stream', 'shapes, the default first'], rows);
}

/** Types of Azure Monitor for columns that are no text. */
const COLUMN_TYPES: Readonly<Record<string, string>> = {
  ...{ TimeGenerated: 'datetime', Started: 'datetime', Ended: 'datetime' },
  ...{ FirstSeen: 'datetime', LastSeen: 'datetime', Tags: 'dynamic', Hosts: 'dynamic', Record: 'dynamic' },
  ...{ ImdsVersion: 'int', StatusCode: 'int', EntryId: 'long' },
};

async function sentinelColumns(): Promise<string> {
  const { request, streams } = (await presets()).get('sentinel')!;
  const rows = Object.entries({ alerts: request, ...streams }).map(([stream, { body, url = '' }]) => [
    stream,
    code(/Custom-\w+/.exec(url)![0]),
    Object.keys(body as object)
      .map((name) => `${code(name)} ${COLUMN_TYPES[name] ?? 'string'}`)
      .join(', '),
  ]);
  return table(['stream', 'name', 'columns'], rows);
}

function listed(names: readonly string[]): string {
  return names.length === 0 ? '–' : names.map(code).join(', ');
}
