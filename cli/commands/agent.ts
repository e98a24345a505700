/** `imdswatch agent` watches this host and reports to a collector, until SIGTERM or SIGINT. */
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
  const signal = untilSignal();
  const log = createLogger(settings.log_level, 'agent');
  const manager = ServiceManager.fromEnvironment(process.env, log);
  const agent = await startAgent(settings, log);
  // From here on packets are captured and callers are found. The collector may become reachable later.
  manager.ready(agent.state().status);
  manager.follow(() => agent.state());
  await signal;
  manager.stopping();
  await agent.stop();
  manager.close();
  return 0;
}
