/** Attempts in which a program's own TCP calls from another network namespace: the kernel has no connection to report. */
import { spawnSync } from 'node:child_process';
import { addAddress, ip } from '../../../lab/namespaces.ts';
import { IMDS_IPV4 } from '../../../protocol/endpoints.ts';
import { addMacvlan } from '../../support/lab/network_topologies.ts';
import type { Evasion, EvasionLab } from './evasion_lab.ts';
import type { End } from './outcome.ts';
import { addOwnWay, awaitCapture, type OwnWay } from './own_way.ts';

function attempt(name: string, end: End, tries: string, act: Evasion['act']): Evasion {
  return { name, tries, end, act };
}

function ownStack({ attackers }: EvasionLab, tag: string, from: { namespace: string; env: OwnWay['env'] }) {
  return attackers.withRawSockets('other_senders.py', 'own_stack', tag, from);
}

interface CapturedWays {
  plain: OwnWay;
  /** It has the metadata service's address too. */
  asService: OwnWay;
}

/** Made once for a lab: it takes a look at all namespaces until the agent finds them. */
const captured = new WeakMap<EvasionLab, Promise<CapturedWays>>();

function capturedWays(lab: EvasionLab): Promise<CapturedWays> {
  const made = captured.get(lab) ?? makeCapturedWays(lab);
  captured.set(lab, made);
  return made;
}

async function makeCapturedWays(lab: EvasionLab): Promise<CapturedWays> {
  const ways = { plain: await addOwnWay(lab), asService: await addOwnWay(lab) };
  await addAddress(ways.asService.namespace, 'lo', `${IMDS_IPV4}/32`);
  await awaitCapture(lab, ways.plain, ways.asService);
  return ways;
}

/** Null where the kernel has this kind of interface on top of another one; else why the attempt cannot be made. */
function missingKind(kind: string): () => string | null {
  return () => {
    const script = `ip link add low0 type dummy && ip link add link low0 name top0 type ${kind}`;
    const { status } = spawnSync('unshare', ['--net', 'sh', '-c', script]);
    return status === 0 ? null : `this kernel has no ${kind}`;
  };
}

const macvlans = new WeakMap<EvasionLab, ReturnType<typeof addMacvlan>>();

async function macvlan(lab: EvasionLab) {
  const made = macvlans.get(lab) ?? addMacvlan(lab.lab);
  macvlans.set(lab, made);
  const { namespace, address } = await made;
  return { namespace, env: { OWN_ADDRESS: address, DEVICE: 'mac0' } };
}

async function ipvlan({ lab }: EvasionLab): Promise<string> {
  const namespace = await lab.addNamespace('side99');
  await ip(
    '-n',
    lab.hostNamespace,
    'link',
    'add',
    'link',
    'eth0',
    'name',
    'ipv0',
    'type',
    'ipvlan',
    'mode',
    'l2',
  );
  await ip('-n', lab.hostNamespace, 'link', 'set', 'ipv0', 'netns', namespace);
  await ip('-n', namespace, 'link', 'set', 'ipv0', 'up');
  await addAddress(namespace, 'ipv0', `${lab.hostAddresses.ipv4.replace(/\d+$/, '4')}/24`);
  await ip('-n', namespace, 'route', 'add', `${IMDS_IPV4}/32`, 'dev', 'ipv0');
  return namespace;
}

export const OWN_STACKS: Evasion[] = [
  attempt('own-stack-by-an-own-way', 'loss', 'Nothing captures in the namespace yet.', async (lab, tag) => {
    const way = await addOwnWay(lab);
    await ownStack(lab, tag, way);
    await awaitCapture(lab, way); // the attempt is over before it is found
    way.remove();
  }),
  attempt('own-stack-where-a-capture-is-open', 'call', 'The agent captures there.', async (lab, tag) => {
    const { plain } = await capturedWays(lab);
    await ownStack(lab, tag, plain);
  }),
  attempt(
    'own-stack-beside-the-service-address',
    'call',
    "The namespace has the service's address too, as if calls ended there.",
    async (lab, tag) => {
      const { asService } = await capturedWays(lab);
      await ownStack(lab, tag, asService);
    },
  ),
  {
    ...attempt('macvlan', 'call', "A macvlan on the host's interface carries it.", async (lab, tag) => {
      await lab.attackers.unprivileged('callers.py', 'plain', tag, await macvlan(lab));
    }),
    unavailable: missingKind('macvlan'),
  },
  {
    ...attempt('own-stack-by-a-macvlan', 'call', 'The same by a TCP of the attacker.', async (lab, tag) => {
      await ownStack(lab, tag, await macvlan(lab));
    }),
    unavailable: missingKind('macvlan'),
  },
  {
    ...attempt('ipvlan', 'call', "An ipvlan on the host's interface carries it.", async (lab, tag) => {
      const namespace = await ipvlan(lab);
      await lab.attackers.unprivileged('callers.py', 'plain', tag, { namespace });
    }),
    unavailable: missingKind('ipvlan'),
  },
];
