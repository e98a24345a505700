/** The way to the metadata service and the network namespaces beside ours. Reads tables; sends nothing to anybody. */
import { readFileSync } from 'node:fs';
import { OwnLinks } from '../../agent/coverage/namespace_view.ts';
import { effectiveCapabilities } from '../../agent/linux/capabilities.ts';
import { interfaceIndex } from '../../agent/linux/libc.ts';
import { NamespaceListing, ownNamespace } from '../../agent/linux/network_namespaces.ts';
import { IMDS_IPV4 } from '../../protocol/endpoints.ts';
import { type AgentSide, type Check, type Finding, fail, ok, warn } from './check.ts';
import { countText } from './quantity.ts';

const RAISE = 'Set max_namespaces to at least that number; each capture takes 1 MiB of memory.';
// include/uapi/linux/capability.h
const CAP_SYS_ADMIN_BIT = 21n;
// include/uapi/linux/route.h
const RTF_UP = 1;
const RTF_REJECT = 0x200;

export const network: Check<AgentSide> = {
  name: 'network',
  applies: () => true,
  examine({ settings, capabilities, running }) {
    const found: Finding[] = [];
    const { interface: name, max_namespaces: most } = settings;
    if (name !== 'any' && interfaceIndex(name) === 0) {
      found.push(
        fail(`there is no interface ${name} here`, 'Set interface to one of "ip link", or leave it out.'),
      );
    }
    const device = routeTo(IMDS_IPV4, readFileSync('/proc/self/net/route', 'utf8'));
    found.push(
      device === null
        ? warn(
            `no route to ${IMDS_IPV4}: nobody in this network namespace can reach the metadata service`,
            'On EC2 a default route is enough. An agent in a container needs the network of its host (--network=host, hostNetwork: true).',
          )
        : ok(`the way to ${IMDS_IPV4} is ${device}; nothing was sent there`),
    );
    const held = (running.pid === null ? null : effectiveCapabilities(running.pid)) ?? capabilities;
    found.push(namespaces(most, ((held >> CAP_SYS_ADMIN_BIT) & 1n) === 1n));
    return found;
  },
};

/** The verdict on the network namespaces beside ours: which of them need a capture, and whether the agent can have it. */
function namespaces(most: number, mayEnter: boolean): Finding {
  const own = ownNamespace();
  const others = [...new NamespaceListing().list(true)].filter(([inode]) => inode !== own);
  if (others.length === 0) return ok('no other network namespace that this user can see');
  const links = OwnLinks.read();
  const apart = others.filter(([, path]) => links?.carryAllOf(path) !== true).length;
  const there = `${countText(others.length, 'other network namespace')}, ${apart} of them not connected through this one alone`;
  if (apart === 0) return ok(there);
  if (most === 0) return warn(`${there}; max_namespaces is 0, so none is captured in`, RAISE);
  if (!mayEnter) {
    return warn(
      `${there}; capturing in them takes CAP_SYS_ADMIN`,
      'The host stays unproven while they exist. See "Network namespaces are not watched" in docs/operate.md.',
    );
  }
  return apart <= most
    ? ok(`${there}; each is captured in`)
    : warn(`${there}; max_namespaces is ${most}`, RAISE);
}

/** The interface that packets to an IPv4 address leave by, from the text of /proc/net/route (proc(5)); null: there is no way. */
export function routeTo(address: string, table: string): string | null {
  const wanted = littleEndian(address);
  let best: { device: string | null; bits: number } = { device: null, bits: -1 };
  for (const row of table.split('\n').slice(1)) {
    const [device = '', destination, , flags, , , , mask] = row.trim().split(/\s+/);
    if (destination === undefined || flags === undefined || mask === undefined) continue;
    const flagBits = Number.parseInt(flags, 16);
    const maskBits = Number.parseInt(mask, 16);
    if ((flagBits & RTF_UP) === 0) continue;
    if ((wanted & maskBits) >>> 0 !== Number.parseInt(destination, 16)) continue;
    const bits = maskBits.toString(2).replaceAll('0', '').length;
    if (bits > best.bits) best = { device: (flagBits & RTF_REJECT) === 0 ? device : null, bits };
  }
  return best.device;
}

function littleEndian(address: string): number {
  return Buffer.from(address.split('.').map(Number)).readUInt32LE(0);
}
