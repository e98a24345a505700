/** Configuration files in the documents are files that the commands take. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { parse } from 'yaml';
import { agentSettings } from '../../../agent/config.ts';
import { readDestination } from '../../../cli/alert_destination.ts';
import { checkCollectorSettings, collectorSettings } from '../../../collector/config.ts';
import { servedPresets } from '../../../collector/local.ts';
import { type Block, blocksOf, documents } from '../../support/docs/documents.ts';

const blocks = documents()
  .flatMap(blocksOf)
  .filter(({ language }) => language === 'yaml');

test('files of agents and collectors', () => {
  const agents = filesOf('agent.yaml');
  const collectors = filesOf('collector.yaml');
  assert.ok(agents.length > 0 && collectors.length > 0);
  for (const { document, line, text } of agents) {
    assert.doesNotThrow(() => agentSettings.strict().parse(parse(text)), `${document}:${line}`);
  }
  for (const { document, line, text } of collectors) {
    const settings = collectorSettings.strict().parse(parse(text));
    assert.doesNotThrow(() => checkCollectorSettings(settings), `${document}:${line}`);
  }
});

test('files of alert destinations', async () => {
  const destinations = blocks.filter(({ text }) => /^(kind: (syslog|email)|preset: \w+)$/m.test(text));
  assert.ok(destinations.length > 0);
  const presets = await servedPresets();
  for (const { document, line, text } of destinations) readDestination(text, `${document}:${line}`, presets);
});

function filesOf(name: string): Block[] {
  return blocks.filter(({ text }) => text.split('\n')[0]!.endsWith(name));
}
