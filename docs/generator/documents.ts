/** Makes the documents with generated parts. */
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { eventParts } from './event_parts.ts';
import { withGeneratedParts } from './generated_part.ts';
import { integrationParts } from './integration_parts.ts';
import { metricsPart } from './metrics_part.ts';
import { permissionsPart } from './permissions.ts';
import { settingsPart } from './settings_part.ts';

export const DOCS_DIRECTORY = join(import.meta.dirname, '..');

/** Returns their texts by file name. Throws if a field of a schema has no description. */
export async function generatedDocuments(): Promise<Map<string, string>> {
  const parts: Record<string, ReadonlyMap<string, string>> = {
    'configure.md': new Map([['settings', await settingsPart()]]),
    'events.md': eventParts(),
    'integrations.md': await integrationParts(),
    'api.md': new Map([['metrics', await metricsPart()]]),
    'security.md': new Map([['who_may_do_what', permissionsPart()]]),
  };
  return new Map(
    Object.entries(parts).map(([name, of]) => [
      name,
      withGeneratedParts(readFileSync(join(DOCS_DIRECTORY, name), 'utf8'), of),
    ]),
  );
}
