/** Finds the host that a client certificate belongs to. */
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';

/**
 * Returns the host of a certificate that our CA has signed: the common name of its subject, else its only DNS
 * name, else its only URI (RFC 5280 sections 4.1.2.6 and 4.2.1.6). Returns `refused` for a certificate that
 * proves no host, and null without a certificate.
 */
export function certifiedHost(socket: Socket, nowMs: number): { hostId: string } | 'refused' | null {
  if (!(socket instanceof TLSSocket)) return null;
  const certificate = socket.getPeerX509Certificate();
  if (certificate === undefined) return null;
  // A resumed session (RFC 8446 section 2.2) is not verified again. Its certificate may have expired since.
  if (!socket.authorized || nowMs >= certificate.validToDate.getTime()) return 'refused';
  const hostId =
    commonName(certificate.subject) ??
    soleName(certificate.subjectAltName, 'DNS') ??
    soleName(certificate.subjectAltName, 'URI');
  return hostId === null ? 'refused' : { hostId };
}

/**
 * `subject` has one attribute per line, such as `CN=…`. Several common names are ambiguous, so none of them
 * is taken.
 */
function commonName(subject: string | undefined): string | null {
  const names = (subject ?? '').split('\n').filter((line) => line.startsWith('CN='));
  return names.length === 1 && names[0]!.length > 3 ? names[0]!.slice(3) : null;
}

/**
 * `subjectAltName` is `DNS:a, URI:b`. Node quotes a value that holds a comma or a quote, so that it cannot
 * pass for two (CVE-2021-44532); no host is named like that.
 */
function soleName(alternatives: string | undefined, type: 'DNS' | 'URI'): string | null {
  if (alternatives === undefined || alternatives.includes('"')) return null;
  const names = alternatives.split(', ').filter((name) => name.startsWith(`${type}:`));
  return names.length === 1 ? names[0]!.slice(type.length + 1) : null;
}
