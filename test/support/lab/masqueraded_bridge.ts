/** The usual networks of containers on a lab's host: a bridge behind masquerade, and a service address by DNAT. */
import { execFileSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import type { Lab } from '../../../lab/lab.ts';
import { addAddress, addLink, ip, namespacePath, setSysctl } from '../../../lab/namespaces.ts';
import { IMDS_IPV4, IMDS_IPV6 } from '../../../protocol/endpoints.ts';

const GATEWAY = { ipv4: '10.98.7.1', ipv6: 'fd98:7::1' } as const;

/** The metadata service under another address, as kube-proxy gives services one. */
export const SERVICE = { address: '10.98.99.1', port: 8775 } as const;

/**
 * Returns the names of two namespaces on a bridge of the host, which masquerades what they send, and lowers the segment
 * size of the second one's, as for a tunnel.
 */
export async function addMasqueradedBridge(lab: Lab): Promise<string[]> {
  const host = lab.hostNamespace;
  await ip('-n', host, 'link', 'add', 'br0', 'type', 'bridge');
  await addAddress(host, 'br0', `${GATEWAY.ipv4}/24`, `${GATEWAY.ipv6}/64`);
  await ip('-n', host, 'link', 'set', 'br0', 'up');
  const namespaces: string[] = [];
  for (const number of [1, 2]) {
    const namespace = await lab.addNamespace(`side${number}`);
    await addLink(host, `port${number}`, namespace, 'eth0');
    await ip('-n', host, 'link', 'set', `port${number}`, 'master', 'br0');
    await addAddress(namespace, 'eth0', `10.98.7.${10 + number}/24`, `fd98:7::${10 + number}/64`);
    await ip('-n', namespace, 'route', 'add', 'default', 'via', GATEWAY.ipv4);
    await ip('-n', namespace, '-6', 'route', 'add', 'default', 'via', GATEWAY.ipv6);
    namespaces.push(namespace);
  }
  setSysctl(host, 'net/ipv4/ip_forward', '1');
  // Kubernetes wants the packets of bridges to pass the host's rules. Then the bridge itself shows the client's packets to
  // the service's address with the destination already rewritten, and the answers with the address that was called.
  if (existsSync('/proc/sys/net/bridge')) setSysctl(host, 'net/bridge/bridge-nf-call-iptables', '1');
  setSysctl(host, 'net/ipv6/conf/all/forwarding', '1');
  // A packet to the service's address needs some route before its destination is rewritten.
  await ip('-n', host, 'route', 'add', `${SERVICE.address}/32`, 'dev', 'eth0');
  rules(
    host,
    `table inet honest {
      chain output { type nat hook output priority -100; ${rewrite()}; }
      chain prerouting { type nat hook prerouting priority dstnat; ${rewrite()}; }
      chain forward {
        type filter hook forward priority mangle;
        ip saddr 10.98.7.12 tcp flags & (syn | ack) == syn tcp option maxseg size set 1000
      }
      chain postrouting {
        type nat hook postrouting priority srcnat;
        ip saddr 10.98.7.0/24 oifname "eth0" masquerade
        ip6 saddr fd98:7::/64 ip6 daddr ${IMDS_IPV6} masquerade
      }
    }`,
  );
  return namespaces;
}

function rewrite(): string {
  return `ip daddr ${SERVICE.address} tcp dport ${SERVICE.port} dnat ip to ${IMDS_IPV4}:80`;
}

function rules(namespace: string, text: string): void {
  execFileSync('nsenter', [`--net=${namespacePath(namespace)}`, 'nft', text]);
}
