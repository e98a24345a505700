/** Namespaces whose packets reach the metadata service without passing the host's interfaces, as an awsvpc task's do. */
import { rmSync } from 'node:fs';
import { addAddress, addLink, deleteNamespace, ip } from '../../../lab/namespaces.ts';
import { IMDS_IPV4 } from '../../../protocol/endpoints.ts';
import type { EvasionLab } from './evasion_lab.ts';

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
  const env = { OWN_ADDRESS: own, DEVICE: 'own0' };
  return { namespace, address: own, env, remove: () => remove(namespace) };
}

function remove(namespace: string): void {
  deleteNamespace(namespace);
  rmSync(`/run/netns/${namespace}`, { force: true });
}
