/**
 * Namespaces that do not reach the metadata service by the host's routing: an interface of their own (ECS `awsvpc`
 * mode), a macvlan on the host's, and a pod whose requests the host gives to a proxy of its own (kube2iam).
 */
import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { missingHere, programPath } from '../../../lab/engines/need.ts';
import type { Lab } from '../../../lab/lab.ts';
import { addAddress, addLink, ip, namespacePath } from '../../../lab/namespaces.ts';
import type { Programs } from '../../../lab/programs.ts';
import { type LabService, startLocalProxy } from '../../../lab/services.ts';
import { IMDS_IPV4 } from '../../../protocol/endpoints.ts';

const execFileAsync = promisify(execFile);
/** Only between the moved interface and the metadata service, which hold no other addresses of 172.16.0.0/12. */
const TASK = { metadataSide: '172.31.250.1', own: '172.31.250.2' } as const;

export interface OwnWay {
  /** Its name, for `from` of the lab's programs. */
  namespace: string;
  /** The address that callers in it have. */
  address: string;
}

/**
 * A namespace with an interface that was the host's and was moved into it: none of its packets passes the host's
 * interfaces. Once per lab.
 */
export async function addMovedInterface(lab: Lab): Promise<OwnWay> {
  const namespace = await lab.addNamespace('task');
  await addLink(lab.hostNamespace, 'eth1', lab.metadataNamespace, 'task0');
  await ip('-n', lab.hostNamespace, 'link', 'set', 'eth1', 'netns', namespace);
  await up(namespace, 'eth1');
  await addAddress(lab.metadataNamespace, 'task0', `${TASK.metadataSide}/24`);
  await addAddress(namespace, 'eth1', `${TASK.own}/24`);
  await ip('-n', namespace, 'route', 'add', `${IMDS_IPV4}/32`, 'dev', 'eth1');
  return { namespace, address: TASK.own };
}

/**
 * A namespace with a macvlan on the host's interface: its packets leave by that interface without passing the host's IP
 * layer. Once per lab. Throws where the kernel has no macvlan.
 */
export async function addMacvlan(lab: Lab): Promise<OwnWay> {
  const namespace = await lab.addNamespace('mac');
  const { ipv4 } = lab.hostAddresses;
  const address = ipv4.replace(/\.\d+$/, '.3');
  const link = ['link', 'add', 'link', 'eth0', 'name', 'mac0', 'type', 'macvlan', 'mode', 'bridge'];
  await ip('-n', lab.hostNamespace, ...link);
  await ip('-n', lab.hostNamespace, 'link', 'set', 'mac0', 'netns', namespace);
  await up(namespace, 'mac0');
  await addAddress(namespace, 'mac0', `${address}/24`);
  await ip('-n', namespace, 'route', 'add', `${IMDS_IPV4}/32`, 'dev', 'mac0');
  return { namespace, address };
}

/**
 * From now on the pod's requests to the metadata service go to a proxy on the host, which makes them itself. The
 * proxy's own calls are reported as any service's, with whose request each was. Throws without `nft`.
 */
export async function redirectPodToProxy(lab: Lab, programs: Programs): Promise<LabService> {
  const why = missingHere(['nft']);
  if (why !== null) throw new Error(why);
  await lab.addPod();
  const proxy = await startLocalProxy(lab, programs);
  // `redirect` is DNAT to the address of the interface that the packet came in by.
  const rules = `table ip imdswatch_lab {
    chain prerouting {
      type nat hook prerouting priority dstnat;
      iifname "pod0" ip daddr ${IMDS_IPV4} tcp dport 80 redirect to :${proxy.listening}
    }
  }`;
  await execFileAsync('nsenter', [`--net=${namespacePath(lab.hostNamespace)}`, programPath('nft')!, rules]);
  return proxy;
}

async function up(namespace: string, device: string): Promise<void> {
  await ip('-n', namespace, 'link', 'set', 'lo', 'up');
  await ip('-n', namespace, 'link', 'set', device, 'up');
}
