/** Settings: file, environment and flags in that order of rising precedence; errors name field and value. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import * as z from 'zod';
import { agentSettings } from '../../../../agent/config.ts';
import { HelpRequested } from '../../../../cli/settings/help_requested.ts';
import { loadSettings } from '../../../../cli/settings/settings.ts';
import { OperatorError } from '../../../../common/operator_error.ts';

const SECRET = 'hunter2-do-not-show';
const schema = z.object({
  name: z.string().min(1).default('from default').describe('A name.'),
  count: z.int().min(1).max(10).default(3).describe('A count.'),
  json: z.boolean().default(false).describe('A switch.'),
  rules: z.array(z.string().min(2)).default([]).describe('A list.'),
  agent_token: z.string().min(8).optional().meta({ secret: true }).describe('A secret.'),
});

let directory: string;
before(() => {
  directory = mkdtempSync(join(tmpdir(), 'imdswatch-settings-'));
});
after(() => rmSync(directory, { recursive: true, force: true }));

function file(text: string): string {
  const path = join(directory, 'config.yaml');
  writeFileSync(path, text);
  return path;
}

function load(argv: string[], env: NodeJS.ProcessEnv = {}, positionals: string[] = []) {
  return loadSettings(schema, {
    command: 'test',
    summary: 'Tests.',
    argv,
    env,
    positionals,
    short: { n: 'name' },
  });
}

function refusal(argv: string[], env: NodeJS.ProcessEnv = {}, positionals: string[] = []): string {
  try {
    load(argv, env, positionals);
  } catch (error) {
    assert.ok(error instanceof OperatorError, String(error));
    assert.equal(error.exitCode, 2);
    return error.message;
  }
  return assert.fail('was accepted');
}

describe('precedence', () => {
  it('default < file < environment < flag', () => {
    const config = file('name: from file\ncount: 5\njson: true\n');
    const env = { IMDSWATCH_NAME: 'from environment', IMDSWATCH_COUNT: '6' };
    assert.equal(load([]).settings.name, 'from default');
    assert.equal(load(['--config', config]).settings.name, 'from file');
    assert.equal(load([], { IMDSWATCH_CONFIG: config }).settings.name, 'from file');
    assert.equal(load(['--config', config], env).settings.name, 'from environment');
    assert.equal(load(['--config', config, '--name', 'from flag'], env).settings.name, 'from flag');
    assert.deepEqual(load(['--config', config, '--count=7', '--no-json'], env).settings, {
      name: 'from environment',
      count: 7,
      json: false,
      rules: [],
    });
  });
  it('an empty environment variable is none, an empty file too', () => {
    assert.equal(load([], { IMDSWATCH_NAME: '' }).settings.name, 'from default');
    assert.equal(load(['--config', file('')]).settings.name, 'from default');
  });
  it('text becomes what the field is', () => {
    for (const [text, value] of [
      ['1', true],
      ['yes', true],
      ['ON', true],
      ['0', false],
      ['off', false],
      ['False', false],
    ]) {
      assert.equal(load([], { IMDSWATCH_JSON: text as string }).settings.json, value);
    }
    assert.deepEqual(load(['--rules', 'ab, cd']).settings.rules, ['ab', 'cd']);
    assert.equal(load(['-n', '007']).settings.name, '007');
  });
  it('positional arguments', () => {
    assert.deepEqual(load(['a.pcap', '--json'], {}, ['FILE']).positionals, ['a.pcap']);
    assert.match(refusal([], {}, ['FILE']), /FILE is missing. Usage: imdswatch test FILE/);
    assert.match(refusal(['a', 'b'], {}, ['FILE']), /"b" is not expected/);
  });
});

describe('errors', () => {
  it('name the field, where it came from and its value', () => {
    assert.match(refusal(['--count', '11']), /^--count is 11: /);
    assert.match(refusal(['--count', 'many']), /^--count is "many": /);
    assert.match(refusal(['--count', '']), /^--count is "": /);
    assert.match(refusal([], { IMDSWATCH_COUNT: '1.5' }), /^IMDSWATCH_COUNT is 1.5: /);
    assert.match(refusal([], { IMDSWATCH_JSON: 'maybe' }), /^IMDSWATCH_JSON is "maybe": /);
    const config = file('count: lots\n');
    assert.match(refusal(['--config', config]), new RegExp(`^${config}: count is "lots": `));
    assert.match(
      refusal(['--count', '0', '--name', '']),
      /--name[\s\S]*--count|--count[\s\S]*--name/,
      'all of them',
    );
  });
  it('an unknown setting, a broken file, a file that is not there', () => {
    assert.match(refusal(['--config', file('colour: red\n')]), /no setting "colour"/);
    assert.match(refusal(['--config', file('toString: 1\n')]), /no setting "toString"/);
    assert.match(refusal(['--config', file('a: [\n')]), /config.yaml is not valid YAML/);
    assert.match(refusal(['--config', file('- a\n- b\n')]), /"setting: value"/);
    assert.match(refusal(['--config', join(directory, 'missing')]), /missing cannot be read/);
    assert.match(refusal(['--colour', 'red']), /--colour[\s\S]*imdswatch test --help/);
    assert.match(refusal(['--name']), /--name/);
  });
  it('never show a secret', () => {
    const refusals = [
      refusal(['--agent-token', 'short']),
      refusal([], { IMDSWATCH_AGENT_TOKEN: 'short' }),
      refusal(['--config', file('agent_token: short\n')]),
    ];
    for (const text of refusals) {
      assert.match(text, /agent.token/i);
      assert.doesNotMatch(text, /short/);
    }
    for (const broken of [
      `agent_token: a: ${SECRET}\n`,
      `agent_token: "${SECRET}\n`,
      `agent_token: ${SECRET}\nagent_token: ${SECRET}\n`,
      `agent_token: ${SECRET}\n  name: x\n`,
      `agent_token: &${SECRET}\nname: *other\n`,
      `agent_token: *${SECRET}\n`,
      `agent_token: !${SECRET} [\n`,
      `${SECRET}\n`,
    ]) {
      const text = refusal(['--config', file(broken)]);
      assert.ok(!text.includes(SECRET), `${JSON.stringify(broken)}: ${text}`);
    }
    assert.match(refusal(['--config', file(`name: x\nagent_token: a: ${SECRET}\n`)]), /line 2/);
  });
});

describe('--help', () => {
  it('shows every setting with flag, environment name and default, and no secret', () => {
    for (const argv of [['--help'], ['-h'], ['--count', '99', '--help']]) {
      let text = '';
      try {
        load(argv, { IMDSWATCH_AGENT_TOKEN: SECRET });
      } catch (error) {
        assert.ok(error instanceof HelpRequested);
        text = error.message;
      }
      for (const part of [
        'Usage: imdswatch test',
        '-n, --name VALUE',
        '--count VALUE',
        '[IMDSWATCH_COUNT]',
        '(default: 3)',
        '--json\n',
        '--config FILE',
        '--agent-token VALUE',
        'A secret.',
      ])
        assert.ok(text.includes(part), `${part} in:\n${text}`);
      assert.ok(!text.includes(SECRET));
    }
  });
  it("describes each of the agent's settings", () => {
    for (const [key, field] of Object.entries(agentSettings.shape)) assert.ok(field.description, key);
  });
});
