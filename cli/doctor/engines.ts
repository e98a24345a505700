/** Which container engines answer: they give containers and pods their names. */
import { statSync } from 'node:fs';
import { CriClient } from '../../agent/identity/engines/cri.ts';
import { DockerClient } from '../../agent/identity/engines/docker.ts';
import { engineSockets } from '../../agent/identity/engines/open_engines.ts';
import {
  type AgentSide,
  AS_ROOT,
  type Check,
  type Finding,
  fail,
  messageOf,
  ok,
  skip,
  warn,
} from './check.ts';

const TIMEOUT_MS = 2_000;

export const engines: Check<AgentSide> = {
  name: 'engines',
  applies: () => true,
  async examine({ settings, capabilities }) {
    const { docker, cri } = engineSockets(settings);
    const asked = [
      ...docker.map((path) => ({ path, setting: settings.docker_socket, Client: DockerClient })),
      ...cri.map((path) => ({ path, setting: settings.cri_socket, Client: CriClient })),
    ];
    const found: Finding[] = [];
    for (const { path, setting, Client } of asked) {
      if (statSync(path, { throwIfNoEntry: false }) === undefined) {
        if (setting !== 'auto') {
          found.push(
            fail(`there is no engine at ${path}`, 'Correct docker_socket or cri_socket, or mount it.'),
          );
        }
        continue;
      }
      const client = new Client(path);
      try {
        found.push(ok(`${await client.version(TIMEOUT_MS)} answers at ${path}`));
      } catch (error) {
        const text = messageOf(error);
        const denied = /EACCES|EPERM|permission denied/i.test(text);
        if (denied && capabilities === 0n) found.push(skip(`${path} needs root`, AS_ROOT));
        else {
          found.push(
            warn(
              `${path} does not answer (${text})`,
              denied
                ? "Let the agent's user use that socket (its group), or give it CAP_DAC_OVERRIDE."
                : 'Containers of that engine stay without names, and have their ids. Start it, or set docker_socket or cri_socket to none.',
            ),
          );
        }
      } finally {
        client.close();
      }
    }
    return found.length > 0 ? found : [ok('no container engine is here')];
  },
};
