/** Namespaces whose packets reach the metadata service without passing the host's interfaces, as an awsvpc task's do. */
import { rmSync } from 'node:fs';
import { OwnLinks } from '../../../agent/coverage/namespace_view.ts';
import { NamespaceListing, ownNamespace, withinNamespace } from '../../../agent/linux/network_namespaces.ts';
import { addAddress, addLink, deleteNamespace, ip, namespacePath } from '../../../lab/namespaces.ts';
import { IMDS_IPV4 } from '../../../protocol/endpoints.ts';
import { type EvasionLab, until } from './evasion_lab.ts';

/** The bound is small, so that few namespaces are too many. */
export const MAX_NAMESPACES = 4;
/** A look at all namespaces comes every 10 s, and captures that are not needed any more are closed by the look before. */
const CAPTURE_TIMEOUT_MS = 40_000;

let count = 0;

export interface OwnWay {
  /** For `from` of the lab's programs. */
  namespace: string;
  address: string;
  /** For programs that send packets by hand. */
  env: Record<string, string>;
  /** Deletes the namespace's name, and the namespace where nothing else keeps it. */
  remove(): void;
}

/** Makes one. `address`: the callers' own address in it, one of 172.30.0.0/16 unless given. */
export async function addOwnWay({ lab }: EvasionLab, address?: string): Promise<OwnWay> {
  count += 1;
  const namespace = await lab.addNamespace(`side${count}`);
  const device = `side${count}`;
  const own = address ?? `172.30.${count}.2`;
  await addLink(namespace, 'own0', lab.metadataNamespace, device);
  await addAddress(namespace, 'own0', `${own}/24`);
  await addAddress(lab.metadataNamespace, device, `${own.replace(/\d+$/, '1')}/24`);
  await ip('-n', namespace, 'route', 'add', `${IMDS_IPV4}/32`, 'dev', 'own0');
  const env = { OWN_ADDRESS: own, DEVICE: 'own0', NEXT_ADDRESS: own.replace(/\d+$/, '1') };
  return { namespace, address: own, env, remove: () => remove(namespace) };
}

/**
 * The agent's bound for `MAX_NAMESPACES` captures of the attempts: the metadata service's namespace and others of this
 * machine take one each.
 */
export function namespaceBound({ lab }: EvasionLab): string {
  const apart = withinNamespace(namespacePath(lab.hostNamespace), () => {
    const [own, links] = [ownNamespace(), OwnLinks.read()];
    const all = [...new NamespaceListing().list(true)];
    return all.filter(([netns, path]) => netns !== own && links?.carryAllOf(path) !== true).length;
  });
  return String(MAX_NAMESPACES + 1 + apart);
}

/** Waits until the agent captures in these namespaces. */
export async function awaitCapture(lab: EvasionLab, ...ways: Pick<OwnWay, 'namespace'>[]): Promise<void> {
  for (const { namespace } of ways) {
    await until(`a capture is open in ${namespace}`, CAPTURE_TIMEOUT_MS, async () => {
      const { stdout } = await lab.lab.run(['cat', '/proc/net/packet'], { from: { namespace } });
      return stdout.trim().split('\n').length > 1; // below the headings, one line for each packet socket
    });
  }
  await lab.quiet(); // the sockets are bound, and what was lost until then is counted
}

function remove(namespace: string): void {
  deleteNamespace(namespace);
  rmSync(`/run/netns/${namespace}`, { force: true });
}
