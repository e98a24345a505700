/** The tables of names of docs/integrations.md, from the mapping of the shapes. */
import { CALL_MAPPING, FINDING_MAPPING } from '../../collector/export/mapping.ts';
import { code, table } from './generated_part.ts';

export function integrationParts(): Map<string, string> {
  return new Map([
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

function listed(names: readonly string[]): string {
  return names.length === 0 ? '–' : names.map(code).join(', ');
}
