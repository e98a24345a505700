/** `imdswatch agent`: watches this host and reports to a collector, until SIGTERM or SIGINT. */
import { agentSettings } from '../../agent/config.ts';
import { startAgent } from '../../agent/main.ts';
import { ServiceManager } from '../../systemd_notify/service_manager.ts';
import { createLogger } from '../log.ts';
import { loadSettings } from '../settings/settings.ts';
import { untilSignal } from '../signals.ts';

export async function run(argv: string[]): Promise<number> {
  const { settings } = loadSettings(agentSettings, {
    command: 'agent',
    summary: 'Watches this host and reports to a collector.',
    argv,
    env: process.env,
    short: { i: 'interface' },
  });
  const ended = untilSignal();
  const log = createLogger(settings.log_level, 'agent');
  const manager = ServiceManager.fromEnvironment(process.env, log);
  const agent = await startAgent(settings, log);
  // Packets are captured and callers found from here on; the collector may come later.
  manager.ready(agent.state().status);
  manager.follow(() => agent.state());
  await ended;
  manager.stopping();
  await agent.stop();
  manager.close();
  return 0;
}
