/** `imdswatch agent`: watches this host and reports to a collector, until SIGTERM or SIGINT. */
import { agentSettings } from '../agent/config.ts';
import { startAgent } from '../agent/main.ts';
import { untilSignal } from './end.ts';
import { createLogger } from './log.ts';
import { loadSettings } from './settings.ts';

export async function run(argv: string[]): Promise<number> {
  const { settings } = loadSettings(agentSettings, {
    command: 'agent',
    summary: 'Watches this host and reports to a collector.',
    argv,
    env: process.env,
    short: { i: 'interface' },
  });
  const ended = untilSignal();
  const agent = startAgent(settings, createLogger(settings.log_level, 'agent'));
  await ended;
  await agent.stop();
  return 0;
}
