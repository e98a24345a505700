/**
 * Checks the route to the metadata service and other network namespaces. It reads kernel tables and sends
 * nothing.
 */
import { readFileSync } from 'node:fs';
import { OwnLinks } from '../../agent/coverage/namespace_view.ts';
import { effectiveCapabilities } from '../../agent/linux/capabilities.ts';
import { interfaceIndex } from '../../agent/linux/libc.ts';
import { NamespaceListing, ownNamespace } from '../../agent/linux/network_namespaces.ts';
import { IMDS_IPV4 } from '../../protocol/endpoints.ts';
import { type AgentSide, type Check, type Finding, fail, ok, warn } from './check.ts';
import { countText } from './quantity.ts';

const RAISE_LIMIT =
  'Set max_namespaces to at least the number of other namespaces. Each capture takes 1 MiB of memory.';
// include/uapi/linux/capability.h
const CAP_SYS_ADMIN_BIT = 21n;
// include/uapi/linux/route.h
const RTF_UP = 1;
const RTF_REJECT = 0x200;

export const network: Check<AgentSide> = {
  name: 'network',
  applies: () => true,
  run({ settings, capabilities, running }) {
    const findings: Finding[] = [];
    const { interface: name, max_namespaces: limit } = settings;
    if (name !== 'any' && interfaceIndex(name) === 0) {
      findings.push(
        fail(
          `there is no interface ${name} here`,
          'Set interface to a name that "ip link" lists, or leave it out.',
        ),
      );
    }
    const device = routeTo(IMDS_IPV4, readFileSync('/proc/self/net/route', 'utf8'));
    findings.push(
      device === null
        ? warn(
            `no route to ${IMDS_IPV4}: no process in this network namespace can reach the metadata service`,
            'On EC2 a default route is enough. An agent in a container needs the network of its host (--network=host, hostNetwork: true).',
          )
        : ok(`packets to ${IMDS_IPV4} leave by ${device}; this check sent none`),
    );
    const effective = (running.pid === null ? null : effectiveCapabilities(running.pid)) ?? capabilities;
    findings.push(namespacesFinding(limit, ((effective >> CAP_SYS_ADMIN_BIT) & 1n) === 1n));
    return findings;
  },
};

/**
 * The verdict on the network namespaces beside ours: which of them need a capture, and whether the agent can
 * have it.
 */
function namespacesFinding(limit: number, mayEnter: boolean): Finding {
  const current = ownNamespace();
  const others = [...new NamespaceListing().list(true)].filter(([inode]) => inode !== current);
  if (others.length === 0) return ok('this user sees no other network namespace');
  const links = OwnLinks.read();
  const apart = others.filter(([, path]) => links?.carryAllOf(path) !== true).length;
  const summary = `${countText(others.length, 'other network namespace')}, ${apart} of them with traffic that does not pass through this one`;
  if (apart === 0) return ok(summary);
  if (limit === 0)
    return warn(`${summary}; max_namespaces is 0, so the agent captures in none of them`, RAISE_LIMIT);
  if (!mayEnter) {
    return warn(
      `${summary}; capturing in them needs CAP_SYS_ADMIN`,
      'The verdict of this host stays unproven while they exist. See "Network namespaces are not watched" in docs/operate.md.',
    );
  }
  return apart <= limit
    ? ok(`${summary}; the agent captures in each`)
    : warn(`${summary}; max_namespaces is ${limit}`, RAISE_LIMIT);
}

/**
 * Returns the interface of the route to an IPv4 address, from /proc/net/route (proc(5)); null without a
 * route.
 */
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
