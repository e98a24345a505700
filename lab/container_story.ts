/** Plays the second part of the demo: the same kinds of calls, made in real containers. */
import type { LabClient } from './clients.ts';
import { labClients } from './clients.ts';
import type { ContainerSpec } from './engines/container.ts';
import { startDocker } from './engines/docker.ts';
import type { SocketEngine } from './engines/socket_engine.ts';
import { credentialsBy, PATHS, token, v1 } from './expected_call.ts';
import type { Lab } from './lab.ts';
import type { Ledger } from './ledger.ts';
import type { Programs } from './programs.ts';
import type { Act } from './story.ts';

/** Time that a job lasts at least, so that the engine can report the pid of its first process. */
const JOB_SECONDS = 0.3;

export interface ContainerStory {
  acts: Act[];
  /** The reason why there are no containers, in one line for people; null if there are some. */
  notAvailable: string | null;
  /** The engine's socket, for requests of container names; null without an engine. */
  socket: string | null;
}

/**
 * Starts Docker in the lab if it is installed. It ends with the lab. Throws if it is installed but does not
 * start.
 */
export async function prepareContainerStory(
  lab: Lab,
  programs: Programs,
  ledger: Ledger,
): Promise<ContainerStory> {
  const { engine, notAvailable } = await startDocker(lab);
  if (notAvailable !== null)
    return { acts: [], socket: null, notAvailable: `containers in Docker are ${notAvailable}` };
  const act = (client: LabClient, spec: Omit<ContainerSpec, 'argv'>): Act => ({
    says: client.says,
    play: () => runInContainer(ledger, engine, client, spec),
  });
  return {
    acts: [
      act(fetcher('container-job', `a container job of ${JOB_SECONDS * 1000} ms reads the instance id`), {
        name: 'nightly-job',
      }),
      act(fetcher('container-on-host', "a container on the host's network does the same"), {
        name: 'node-exporter',
        network: 'host',
      }),
      act(sdkBehindHopLimit(programs), { name: 'orders', machinePrograms: true }),
    ],
    notAvailable: null,
    socket: engine.socket,
  };
}

/** Runs a client in a container to its end. The client's program must be the container's first process. */
export async function runInContainer(
  ledger: Ledger,
  engine: SocketEngine,
  client: LabClient,
  spec: Omit<ContainerSpec, 'argv'>,
): Promise<void> {
  await ledger.runPlaced(client, async () => {
    const container = await engine.run({ ...spec, argv: client.argv });
    const { id, name, image, runtime, address, pid } = container;
    await container.wait();
    await container.remove();
    if (pid === null) throw new Error(`${name} had ended before its pid could be asked for`);
    const workload = { container: { id, name, 'image.name': image, runtime }, k8s: null, systemd: null };
    return { pid, address, workload };
  });
}

function fetcher(name: string, says: string): LabClient {
  return {
    name,
    says,
    argv: ['/bin/fetch', PATHS.instanceId, String(JOB_SECONDS)],
    executable: '/bin/fetch',
    script: null,
    caller: 'itself',
    calls: [v1(PATHS.instanceId)],
  };
}

/** The answer to its token request does not reach it from the host; the answers to its reads do. */
function sdkBehindHopLimit(programs: Programs): LabClient {
  const sdk = labClients(programs, null).find(({ name }) => name === 'sdk-new')!;
  return {
    ...sdk,
    name: 'container-sdk-new',
    says: 'the new SDK in a container, at the default hop limit of 1: its token never arrives, it falls back to IMDSv1',
    behaviour: { putResponseHopLimit: 1 },
    calls: [token({ status: null }), ...credentialsBy(v1, { fallback: 'token_unanswered' })],
  };
}
