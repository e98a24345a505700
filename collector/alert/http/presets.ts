/** Reads the presets that ship: one YAML file for each receiver. */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { alertRule } from '../../contract/alert.ts';
import { streamName } from '../../contract/export.ts';
import { type DestinationPreset, type Preset, preset } from '../../contract/http_request.ts';
import { shapesOf } from './preset_shapes.ts';

const DIRECTORY = join(import.meta.dirname, '..', 'presets');

let loaded: Promise<ReadonlyMap<string, Preset>> | null = null;

/** Returns the presets by name, in the order of their names. */
export function presets(): Promise<ReadonlyMap<string, Preset>> {
  loaded ??= read();
  return loaded;
}

/** Returns the presets as they are served. */
export async function servedPresets(): Promise<DestinationPreset[]> {
  return [...(await presets()).values()].map((each) => ({
    name: each.name,
    title: each.title,
    description: each.description,
    parameters: each.parameters,
    digest: each.digest,
    send_resolved: each.send_resolved,
    rules: each.rules ?? [...alertRule.options],
    ...streamsOf(each),
  }));
}

function streamsOf(each: Preset): Pick<DestinationPreset, 'streams' | 'shapes'> {
  const streams = streamName.options.filter((name) => name === 'alerts' || name in each.streams);
  return { streams, shapes: Object.fromEntries(streams.map((name) => [name, shapesOf(each, name)])) };
}

async function read(): Promise<ReadonlyMap<string, Preset>> {
  const { parse } = await import('yaml');
  const files = readdirSync(DIRECTORY).filter((name) => name.endsWith('.yaml'));
  return new Map(
    files.sort().map((file) => {
      const read = preset.parse(parse(readFileSync(join(DIRECTORY, file), 'utf8')));
      return [read.name, read];
    }),
  );
}
