import { isIP, isIPv6 } from 'node:net';

/** Tells whether only this machine can reach the address. Such a connection needs no encryption. */
export function isLoopback(host: string): boolean {
  if (host.toLowerCase() === 'localhost') return true;
  if (isIPv6(host)) {
    const { hostname } = new URL(`http://[${host}]`);
    return hostname === '[::1]' || hostname.startsWith('[::ffff:7f');
  }
  return isIP(host) === 4 && host.startsWith('127.');
}
