/** Names and addresses of hosts, as settings and URLs have them: an IPv6 address may stand in brackets. */
import { isIP, isIPv6 } from 'node:net';

/** Returns a host without the brackets that URLs put around an IPv6 address. */
export function bareHost(host: string): string {
  return host.replace(/^\[|\]$/g, '');
}

/** Tells whether only this machine can reach the host, with or without brackets. Such a connection needs no encryption. */
export function isLoopback(host: string): boolean {
  const bare = bareHost(host);
  if (bare.toLowerCase() === 'localhost') return true;
  if (isIPv6(bare)) {
    const { hostname } = new URL(`http://[${bare}]`);
    return hostname === '[::1]' || hostname.startsWith('[::ffff:7f');
  }
  return isIP(bare) === 4 && bare.startsWith('127.');
}

export interface HostPort {
  /** Without brackets. */
  host: string;
  port: number;
}

/** Matches ADDRESS:PORT. An IPv6 address stands in brackets. */
export const HOST_PORT = /^(\[[0-9a-fA-F:.]+\]|[^:\s]+):\d{1,5}$/;

/** Divides a text that matches `HOST_PORT`. */
export function hostPortOf(text: string): HostPort {
  const colon = text.lastIndexOf(':');
  return { host: bareHost(text.slice(0, colon)), port: Number(text.slice(colon + 1)) };
}
