/** Checks the address at which the agent serves metrics, and that it answers there while it runs. */
import { metricsAddress } from '../../agent/metrics/serve_metrics.ts';
import { type AgentSide, type Check, fail, messageOf, ok, skip, warn } from './check.ts';

const TIMEOUT_MS = 2_000;

export const metrics: Check<AgentSide> = {
  name: 'metrics',
  applies: ({ settings }) => settings.metrics_listen !== undefined,
  async run({ settings, running }) {
    const { metrics_listen: listen } = settings;
    try {
      metricsAddress(settings);
    } catch (error) {
      return [fail(messageOf(error), 'Correct metrics_listen: the agent does not start with it.')];
    }
    if (running.isRunning !== true) return [skip('no agent runs that would serve metrics')];
    const url = `http://${listen}/metrics`;
    try {
      const response = await fetch(url, { signal: AbortSignal.timeout(TIMEOUT_MS), redirect: 'error' });
      if ((await response.text()).includes('imdswatch_agent_info'))
        return [ok(`the agent serves metrics at ${url}`)];
      return [
        warn(
          `another program answers at ${url}`,
          'Set metrics_listen to a free port, and restart the agent.',
        ),
      ];
    } catch (error) {
      const cause = (error as Error).cause ?? error;
      return [
        warn(
          `nothing answers at ${url} (${messageOf(cause)})`,
          'Restart the agent if the setting is new. Its log says why it cannot listen.',
        ),
      ];
    }
  },
};
