/** Attempts by other ways through the host's network, and in network namespaces that have a way of their own. */
import { setTimeout as sleep } from 'node:timers/promises';
import { addAddress, addLink, ip } from '../../../lab/namespaces.ts';
import { IMDS_IPV4 } from '../../../protocol/endpoints.ts';
import { nft } from '../../support/lab/watch_lab.ts';
import { type Attackers, nextLine } from './attackers.ts';
import type { Evasion, EvasionLab } from './evasion_lab.ts';
import type { End } from './outcome.ts';
import { addOwnWay, awaitCapture, type OwnWay } from './own_way.ts';

const ELSEWHERE = '10.199.0.9';

function attempt(name: string, end: End, tries: string, act: Evasion['act']): Evasion {
  return { name, tries, end, act };
}

function call(lab: EvasionLab, tag: string, from?: { namespace: string } | 'pod', how = 'plain') {
  return lab.attackers.unprivileged('callers.py', how, tag, from);
}

/** Runs `action` with namespaces that are removed afterwards. */
async function withOwnWays(
  lab: EvasionLab,
  how: number,
  action: (ways: OwnWay[]) => Promise<void>,
): Promise<void> {
  const ways: OwnWay[] = [];
  for (let n = 0; n < how; n++) ways.push(await addOwnWay(lab));
  try {
    await action(ways);
  } finally {
    for (const way of ways) way.remove();
  }
}

export const THROUGH_THE_HOST: Evasion[] = [
  attempt('pod', 'call', 'The caller is a pod behind the host.', async (lab, tag) => {
    await lab.lab.addPod();
    await call(lab, tag, 'pod');
  }),
  attempt(
    'masqueraded-pod',
    'call',
    'The host puts its own address in place of the pod.',
    async (lab, tag) => {
      await lab.lab.addPod();
      const rules =
        'table ip masked {\n chain post {\n type nat hook postrouting priority 100;\n oifname eth0 masquerade\n }\n}';
      await nft(lab.lab.hostNamespace, rules);
      try {
        await call(lab, tag, 'pod');
      } finally {
        await nft(lab.lab.hostNamespace, 'delete table ip masked');
      }
    },
  ),
  attempt('translated-here', 'call', 'The host translates another address and port.', async (lab, tag) => {
    await translated(lab, 'output', () => call(lab, tag, undefined, 'to_another_address'));
  }),
  attempt('translated-pod', 'call', "The host translates a pod's address and port.", async (lab, tag) => {
    await lab.lab.addPod();
    await translated(lab, 'prerouting', () => call(lab, tag, 'pod', 'to_another_address'));
  }),
  attempt('proxy', 'call', 'A proxy on the loopback asks.', async (lab, tag) => {
    await call(lab, tag, undefined, 'through_a_proxy');
  }),
  attempt('second-interface', 'call', 'The socket is bound to a second interface.', async (lab, tag) => {
    const { hostNamespace: host, metadataNamespace: imds } = lab.lab;
    await addLink(host, 'eth9', imds, 'second');
    await addAddress(host, 'eth9', '172.29.9.2/24');
    await addAddress(imds, 'second', '172.29.9.1/24');
    await ip('-n', host, 'route', 'add', `${IMDS_IPV4}/32`, 'dev', 'eth9', 'metric', '50');
    await call(lab, tag, undefined, 'by_the_second_interface');
  }),
  attempt('policy-routing', 'call', 'A rule sends the call by another table.', async (lab, tag) => {
    const { hostNamespace: host } = lab.lab;
    await ip('-n', host, 'route', 'add', `${IMDS_IPV4}/32`, 'dev', 'eth9', 'table', '77');
    await ip('-n', host, 'rule', 'add', 'to', IMDS_IPV4, 'lookup', '77');
    try {
      await call(lab, tag);
    } finally {
      await ip('-n', host, 'rule', 'delete', 'to', IMDS_IPV4, 'lookup', '77');
    }
  }),
  attempt('bridged', 'call', 'The interface is a port of a bridge.', async (lab, tag) => {
    const { hostNamespace: host, metadataNamespace: imds } = lab.lab;
    await ip('-n', host, 'link', 'add', 'br9', 'type', 'bridge');
    await addLink(host, 'eth8', imds, 'third');
    await ip('-n', host, 'link', 'set', 'eth8', 'master', 'br9');
    await ip('-n', host, 'link', 'set', 'br9', 'up');
    await addAddress(host, 'br9', '172.29.8.2/24');
    await addAddress(imds, 'third', '172.29.8.1/24');
    await ip('-n', host, 'route', 'add', `${IMDS_IPV4}/32`, 'dev', 'br9', 'table', '78');
    await ip('-n', host, 'rule', 'add', 'to', IMDS_IPV4, 'lookup', '78');
    try {
      await call(lab, tag);
    } finally {
      await ip('-n', host, 'rule', 'delete', 'to', IMDS_IPV4, 'lookup', '78');
    }
  }),
  attempt('tunnelled', 'call', 'The call travels in a VXLAN tunnel of the host.', async (lab, tag) => {
    const { hostNamespace: host, metadataNamespace: imds } = lab.lab;
    const tunnel = (there: string) =>
      ['type', 'vxlan', 'id', '9', 'remote', there, 'dstport', '4789'] as const;
    await ip('-n', host, 'link', 'add', 'vx9', ...tunnel('172.29.8.1'));
    await ip('-n', imds, 'link', 'add', 'vx9', ...tunnel('172.29.8.2'));
    for (const [namespace, last] of [
      [host, 2],
      [imds, 1],
    ] as const) {
      await addAddress(namespace, 'vx9', `172.29.7.${last}/24`);
      await ip('-n', namespace, 'link', 'set', 'vx9', 'up');
    }
    await ip('-n', host, 'route', 'add', `${IMDS_IPV4}/32`, 'dev', 'vx9', 'table', '79');
    await ip('-n', host, 'rule', 'add', 'to', IMDS_IPV4, 'lookup', '79');
    try {
      await call(lab, tag);
    } finally {
      await ip('-n', host, 'rule', 'delete', 'to', IMDS_IPV4, 'lookup', '79');
    }
  }),
];

async function translated(
  lab: EvasionLab,
  hook: 'output' | 'prerouting',
  action: () => Promise<unknown>,
): Promise<void> {
  const { hostNamespace: host } = lab.lab;
  const rules = `table ip moved {\n chain first {\n type nat hook ${hook} priority -100;
 ip daddr ${ELSEWHERE} tcp dport 8080 dnat to ${IMDS_IPV4}:80\n }\n}`;
  await ip('-n', host, 'route', 'add', `${ELSEWHERE}/32`, 'dev', 'eth0');
  await nft(host, rules);
  try {
    await action();
  } finally {
    await nft(host, 'delete table ip moved');
    await ip('-n', host, 'route', 'delete', `${ELSEWHERE}/32`, 'dev', 'eth0');
  }
}

export const OWN_WAYS: Evasion[] = [
  attempt('first-call-by-an-own-way', 'loss', 'Nobody called in the namespace before.', (lab, tag) =>
    withOwnWays(lab, 1, async ([way]) => {
      await call(lab, tag, way);
      await sleep(500);
    }),
  ),
  attempt('later-call-by-an-own-way', 'call', 'A call with a token was made there before.', (lab, tag) =>
    withOwnWays(lab, 1, async ([way]) => {
      await call(lab, 'none', way, 'plain_with_token');
      await awaitCapture(lab, way!);
      await call(lab, tag, way);
    }),
  ),
  attempt('lives-for-a-moment', 'loss', 'The namespace ends with the call.', (lab, tag) =>
    withOwnWays(lab, 1, async ([way]) => {
      await call(lab, tag, way);
    }),
  ),
  attempt(
    'same-address-and-port',
    // The agent lists namespaces every ten seconds. A listing may open the capture before the first of the calls.
    'either',
    'The namespace has the address and port of a seen call.',
    async (lab, tag) => {
      const way = await addOwnWay(lab);
      try {
        const { hostNamespace: host, metadataNamespace: imds } = lab.lab;
        await ip('-n', host, 'address', 'add', `${way.address}/32`, 'dev', 'lo');
        await ip('-n', imds, 'route', 'add', `${way.address}/32`, 'dev', 'eth0');
        await ip('-n', host, 'route', 'replace', `${IMDS_IPV4}/32`, 'dev', 'eth0', 'src', way.address);
        await call(lab, 'none', undefined, 'plain_with_token_from_one_port');
        await ip(
          '-n',
          host,
          'route',
          'replace',
          `${IMDS_IPV4}/32`,
          'dev',
          'eth0',
          'src',
          lab.lab.hostAddresses.ipv4,
        );
        await ip('-n', host, 'address', 'delete', `${way.address}/32`, 'dev', 'lo');
        await ip('-n', imds, 'route', 'delete', `${way.address}/32`, 'dev', 'eth0');
        await lab.begin();
        for (let n = 0; n < 3; n++) {
          await call(lab, tag, way, 'plain_from_one_port');
          await sleep(1_200);
        }
      } finally {
        way.remove();
      }
    },
  ),
  attempt('only-a-process-in-it', 'either', 'The namespace has lost its name.', async (lab, tag) => {
    const way = await addOwnWay(lab);
    const kept = await lab.attackers.conversing('kept_open', tag, way);
    way.remove();
    await lab.begin();
    await ask(kept);
    await kept.stop();
  }),
  attempt(
    'in-a-user-namespace',
    'loss',
    'A user without privileges made the namespace.',
    async (lab, tag) => {
      const way = await addOwnWay(lab);
      const { hostNamespace: host } = lab.lab;
      const user = ['setpriv', '--reuid', '65534', '--regid', '65534', '--clear-groups'];
      const program = `${lab.lab.home}/attempts/callers.py`;
      const script = `echo made; read line; exec python3 -B -S ${program} plain ${tag}`;
      const inner = lab.lab.spawn(
        [...user, 'unshare', '--user', '--map-root-user', '--net', 'sh', '-c', script],
        {
          env: { PATH: '/usr/sbin:/usr/bin:/sbin:/bin' },
        },
      );
      try {
        await nextLine(inner);
        await ip('-n', way.namespace, 'link', 'set', 'own0', 'netns', String(inner.pid));
        const inside = (...argv: string[]) =>
          lab.lab.run(['nsenter', `--net=/proc/${inner.pid}/ns/net`, 'ip', ...argv], {
            from: { namespace: host },
          });
        await inside('link', 'set', 'own0', 'up');
        await inside('address', 'add', `${way.address}/24`, 'dev', 'own0');
        await inside('route', 'add', `${IMDS_IPV4}/32`, 'dev', 'own0');
        inner.child.stdin?.write('go\n');
        await inner.exited;
      } finally {
        await inner.stop();
        way.remove();
      }
    },
  ),
  attempt('only-a-socket-in-it', 'either', 'Only a socket is left in the namespace.', async (lab, tag) => {
    const way = await addOwnWay(lab);
    await call(lab, 'none', way, 'plain_with_token');
    await awaitCapture(lab, way);
    const holder = await lab.attackers.conversing('takes_a_socket', tag);
    await call(lab, tag, way, 'gives_its_socket');
    way.remove();
    await sleep(12_000); // longer than it takes until namespaces are looked through again
    await lab.begin();
    await ask(holder);
    await holder.stop();
  }),
  // The last one: it takes a while until the agent has room for captures again.
  attempt('more-than-can-be-watched', 'loss', 'Eight namespaces call where four are watched.', (lab, tag) =>
    withOwnWays(lab, 8, async (ways) => {
      for (const way of ways) await call(lab, 'none', way, 'plain_with_token');
      await sleep(2_500);
      await lab.begin();
      for (const way of ways) await call(lab, tag, way);
    }),
  ),
];

/** Makes a program of `conversing` ask once. */
export async function ask(running: Awaited<ReturnType<Attackers['conversing']>>): Promise<void> {
  running.child.stdin?.write('go\n');
  await nextLine(running);
}
