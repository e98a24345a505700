/** Checks which container engines answer. The agent gets the names of containers and pods from them. */
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
  async run({ settings, capabilities }) {
    const { docker, cri } = engineSockets(settings);
    const sockets = [
      ...docker.map((path) => ({ path, setting: settings.docker_socket, Client: DockerClient })),
      ...cri.map((path) => ({ path, setting: settings.cri_socket, Client: CriClient })),
    ];
    const findings: Finding[] = [];
    for (const { path, setting, Client } of sockets) {
      if (statSync(path, { throwIfNoEntry: false }) === undefined) {
        if (setting !== 'auto') {
          findings.push(
            fail(
              `there is no engine socket at ${path}`,
              'Correct docker_socket or cri_socket, or mount the socket.',
            ),
          );
        }
        continue;
      }
      const client = new Client(path);
      try {
        findings.push(ok(`${await client.version(TIMEOUT_MS)} answers at ${path}`));
      } catch (error) {
        const text = messageOf(error);
        const isRefused = /EACCES|EPERM|permission denied/i.test(text);
        if (isRefused && capabilities === 0n)
          findings.push(skip(`connecting to ${path} needs root`, AS_ROOT));
        else {
          findings.push(
            warn(
              `${path} does not answer (${text})`,
              isRefused
                ? "Add the agent's user to the group of that socket, or give the agent CAP_DAC_OVERRIDE."
                : 'Containers of that engine are shown by id, without names. Start the engine, or set docker_socket or cri_socket to none.',
            ),
          );
        }
      } finally {
        client.close();
      }
    }
    return findings.length > 0 ? findings : [ok('this host has no container engine')];
  },
};
