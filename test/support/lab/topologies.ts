/**
 * Ways between a caller and the metadata service, all on one lab: bridges, interfaces of the caller's own, a
 * sidecar, a proxy of the node, user-mode networks, an HTTP proxy, an overlay.
 */
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { missingHere, type NeededProgram, programPath } from '../../../lab/engines/need.ts';
import type { Lab, SpawnOptions } from '../../../lab/lab.ts';
import { addAddress, addLink, ip, namespacePath, setSysctl } from '../../../lab/namespaces.ts';
import type { Programs } from '../../../lab/programs.ts';
import { IMDS_IPV4 } from '../../../protocol/endpoints.ts';
import { addMasqueradedBridge } from './masqueraded_bridge.ts';
import { addMacvlan, addMovedInterface, redirectPodToProxy } from './network_topologies.ts';

export interface Topology {
  name: string;
  /** A public report or document that describes it. */
  source: string;
  from: NonNullable<SpawnOptions['from']>;
  /** HOST:PORT of an HTTP proxy that the callers use. */
  proxy?: string;
  /** Names of calls: for the caller itself, for it through a relay of this kind, or for the relay only. */
  named: 'caller' | 'redirect' | 'translation' | 'user_network' | 'relay';
}

const PROXY_PORT = 18_888;
/** It would copy the addresses of a default route, and a lab has none. */
const PASTA =
  '--foreground --config-net --runas 0 --ipv4-only --interface eth0 --address 10.97.8.2 --netmask 24 --gateway 10.97.8.1'.split(
    ' ',
  );
const USER_NETWORK_WAIT_MS = 60_000;

/** Builds all topologies. `missing` has the names of those that this machine lacks the programs for. */
export async function buildTopologies(
  lab: Lab,
  programs: Programs,
): Promise<{ topologies: Topology[]; missing: string[] }> {
  const [bridged = '', sidecar = ''] = await addMasqueradedBridge(lab);
  await startSidecar(lab, programs, sidecar);
  const proxy = await redirectPodToProxy(lab, programs);
  const mesh = await addMeshBehindProxy(lab, programs, proxy.listening!);
  const topologies: Topology[] = [
    { name: 'host network', source: 'github.com/uswitch/kiam, issue 119', from: 'host', named: 'caller' },
    {
      name: 'bridge',
      source: 'github.com/buildkite/elastic-ci-stack-for-aws, issue 857',
      from: { namespace: bridged },
      named: 'caller',
    },
    {
      name: 'nested bridge',
      source: 'github.com/kubermatic/machine-controller, pull request 1833',
      from: { namespace: await addInner(lab, bridged) },
      named: 'caller',
    },
    {
      name: 'macvlan',
      source: 'docs.docker.com, Macvlan network driver',
      from: { namespace: (await addMacvlan(lab)).namespace },
      named: 'caller',
    },
    {
      name: 'moved interface',
      source: 'AWS ECS developer guide, awsvpc network mode',
      from: { namespace: (await addMovedInterface(lab)).namespace },
      named: 'caller',
    },
    {
      name: 'overlay (vxlan)',
      source: 'docs.docker.com, Overlay network driver',
      from: { namespace: await addOverlay(lab) },
      named: 'caller',
    },
    {
      name: 'sidecar redirect',
      source: 'github.com/istio/istio, issue 2079',
      from: { namespace: sidecar },
      named: 'redirect',
    },
    {
      name: 'node proxy by DNAT',
      source: 'github.com/lyft/metadataproxy, issue 74',
      from: 'pod',
      named: 'translation',
    },
    {
      name: 'sidecar before a node proxy',
      source: 'github.com/jtblin/kube2iam, issue 208',
      from: { namespace: mesh },
      named: 'translation',
    },
  ];
  const missing: string[] = [];
  const optional = async (program: NeededProgram, add: () => Promise<Topology>) => {
    if (missingHere([program]) === null) topologies.push(await add());
    else missing.push(program);
  };
  await optional('slirp4netns', () => addUserNetwork(lab, 'side7', 'slirp4netns'));
  await optional('pasta', () => addUserNetwork(lab, 'side8', 'pasta'));
  await optional('tinyproxy', () => addHttpProxy(lab));
  return { topologies, missing };
}

/** A pod as Istio makes it: its own rules redirect all TCP but the sidecar's to the sidecar. */
export async function startSidecar(lab: Lab, programs: Programs, namespace: string): Promise<void> {
  await ip('-n', namespace, 'link', 'set', 'lo', 'up');
  const script = join(import.meta.dirname, 'redirect_sidecar.py');
  const sidecar = lab.spawn([programs.python3, script], { from: { namespace } });
  await new Promise((resolve) => sidecar.child.stdout?.once('data', resolve));
  nft(
    namespace,
    `table ip mesh {
      chain output {
        type nat hook output priority -100;
        meta skuid 1337 return
        ip daddr 127.0.0.0/8 return
        meta l4proto tcp redirect to :15001
      }
    }`,
  );
}

/**
 * A pod with a sidecar, whose calls the node's proxy then gets: two relays, one call. (github.com/jtblin/kube2iam,
 * issue 208: kube2iam on a node of an Istio mesh.)
 */
async function addMeshBehindProxy(lab: Lab, programs: Programs, proxyPort: number): Promise<string> {
  const host = lab.hostNamespace;
  const namespace = await lab.addNamespace('side6');
  await addLink(host, 'mesh0', namespace, 'eth0');
  await addAddress(host, 'mesh0', '10.97.9.1/24');
  await addAddress(namespace, 'eth0', '10.97.9.2/24');
  await ip('-n', namespace, 'route', 'add', 'default', 'via', '10.97.9.1');
  nft(
    host,
    `table ip mesh_proxy {
      chain prerouting {
        type nat hook prerouting priority dstnat;
        iifname "mesh0" ip daddr ${IMDS_IPV4} tcp dport 80 redirect to :${proxyPort}
      }
    }`,
  );
  await startSidecar(lab, programs, namespace);
  return namespace;
}

/** A container in a container: two hops, and two translations. */
async function addInner(lab: Lab, outer: string): Promise<string> {
  const inner = await lab.addNamespace('inner');
  await addLink(outer, 'inner0', inner, 'eth0');
  await addAddress(outer, 'inner0', '10.97.1.1/24');
  await addAddress(inner, 'eth0', '10.97.1.2/24');
  await ip('-n', inner, 'route', 'add', 'default', 'via', '10.97.1.1');
  setSysctl(outer, 'net/ipv4/ip_forward', '1');
  nft(outer, masquerade('10.97.1.0/24'));
  return inner;
}

/** A namespace whose way to the service is a tunnel to the host, as of an overlay network or a VPN. */
async function addOverlay(lab: Lab): Promise<string> {
  const host = lab.hostNamespace;
  const namespace = await lab.addNamespace('vpn');
  await addLink(host, 'under0', namespace, 'eth0');
  await addAddress(host, 'under0', '10.97.2.1/24');
  await addAddress(namespace, 'eth0', '10.97.2.2/24');
  for (const [where, remote, inside, device] of [
    [host, '10.97.2.2', '10.97.3.1', 'under0'],
    [namespace, '10.97.2.1', '10.97.3.2', 'eth0'],
  ] as const) {
    const kind = ['type', 'vxlan', 'id', '7', 'dstport', '4789', 'remote', remote, 'dev', device];
    await ip('-n', where, 'link', 'add', 'over0', ...kind);
    await addAddress(where, 'over0', `${inside}/24`);
    await ip('-n', where, 'link', 'set', 'over0', 'up');
  }
  await ip('-n', namespace, 'route', 'add', `${IMDS_IPV4}/32`, 'via', '10.97.3.1');
  nft(host, masquerade('10.97.3.0/24'));
  return namespace;
}

/** A rootless container's network: a program of the host opens sockets for it. */
async function addUserNetwork(lab: Lab, role: 'side7' | 'side8', program: NeededProgram): Promise<Topology> {
  const namespace = await lab.addNamespace(role);
  await ip('-n', namespace, 'link', 'set', 'lo', 'up');
  const path = namespacePath(namespace);
  const argv =
    program === 'pasta'
      ? [...PASTA, '--netns', path]
      : ['--configure', '--mtu=1500', '--netns-type=path', path, 'tap0'];
  const network = lab.spawn([programPath(program)!, ...argv]);
  let said = '';
  for (const stream of [network.child.stdout, network.child.stderr])
    stream?.on('data', (chunk: Buffer) => {
      said += chunk.toString();
    });
  const deadlineMs = performance.now() + USER_NETWORK_WAIT_MS;
  while (!hasRoute(namespace)) {
    if (network.child.exitCode !== null || performance.now() > deadlineMs)
      throw new Error(`${program} made no network: ${said}`);
    await sleep(50);
  }
  const source = `github.com/podman-container-tools/podman, pull request ${program === 'pasta' ? 22_594 : 1_156}`;
  return { name: program, source, from: { namespace }, named: 'user_network' };
}

function hasRoute(namespace: string): boolean {
  try {
    return execFileSync('ip', ['-n', namespace, 'route', 'get', IMDS_IPV4], { stdio: 'pipe' }).length > 0;
  } catch {
    return false;
  }
}

async function addHttpProxy(lab: Lab): Promise<Topology> {
  const config = join(lab.home, 'tinyproxy.conf');
  writeFileSync(config, `Port ${PROXY_PORT}\nListen 127.0.0.1\nTimeout 30\nMaxClients 20\n`);
  const proxy = lab.spawn([programPath('tinyproxy')!, '-d', '-c', config]);
  await new Promise((resolve) => proxy.child.stdout?.once('data', resolve));
  await sleep(200);
  return {
    name: 'HTTP proxy',
    source: 'github.com/boto/boto, issue 1146',
    from: 'host',
    proxy: `127.0.0.1:${PROXY_PORT}`,
    named: 'relay',
  };
}

function masquerade(network: string): string {
  return `table ip behind {
    chain post {
      type nat hook postrouting priority srcnat;
      ip saddr ${network} masquerade
    }
  }`;
}

function nft(namespace: string, rules: string): void {
  execFileSync('nsenter', [`--net=${namespacePath(namespace)}`, 'nft', rules]);
}
