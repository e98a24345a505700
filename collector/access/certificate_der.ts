/** Writes an X.509 certificate (RFC 5280) in DER (X.690): Node can read them, and not make them. Only what a self-signed one needs. */
import { createHash, type KeyObject, sign } from 'node:crypto';
import { isIP } from 'node:net';

export interface CertificateContent {
  commonName: string;
  /** DNS names and IP addresses that it is for. */
  names: readonly string[];
  /** At most 20 bytes. */
  serial: Uint8Array;
  notBefore: Date;
  notAfter: Date;
  /** Of an EC key: signed with SHA-256. */
  publicKey: KeyObject;
  privateKey: KeyObject;
}

/** For a server, and for nothing else: it signs no other certificate. */
export function selfSignedCertificate(content: CertificateContent): string {
  const { commonName, names, serial, notBefore, notAfter, publicKey, privateKey } = content;
  const algorithm = sequence(objectId('1.2.840.10045.4.3.2')); // ecdsa-with-SHA256, RFC 5758
  const name = sequence(der(SET, sequence(objectId('2.5.4.3'), der(UTF8_STRING, Buffer.from(commonName)))));
  const spki = publicKey.export({ type: 'spki', format: 'der' });
  const extensions = sequence(
    extension('2.5.29.19', sequence(), { critical: true }), // basicConstraints: not a CA
    extension('2.5.29.15', der(BIT_STRING, Buffer.from([7, 0x80])), { critical: true }), // keyUsage: digitalSignature
    extension('2.5.29.37', sequence(objectId('1.3.6.1.5.5.7.3.1'))), // extKeyUsage: serverAuth
    extension('2.5.29.14', der(OCTET_STRING, createHash('sha1').update(spki).digest())), // subjectKeyIdentifier
    extension('2.5.29.17', sequence(...names.map(alternativeName))),
  );
  const toBeSigned = sequence(
    der(0xa0, der(INTEGER, Buffer.from([2]))), // version 3
    integer(serial),
    algorithm,
    name,
    sequence(time(notBefore), time(notAfter)),
    name,
    spki,
    der(0xa3, extensions),
  );
  const signature = Buffer.concat([Buffer.from([0]), sign('sha256', toBeSigned, privateKey)]);
  const certificate = sequence(toBeSigned, algorithm, der(BIT_STRING, signature));
  const lines = certificate.toString('base64').match(/.{1,64}/g)!;
  return `-----BEGIN CERTIFICATE-----\n${lines.join('\n')}\n-----END CERTIFICATE-----\n`;
}

const BOOLEAN = 0x01;
const INTEGER = 0x02;
const BIT_STRING = 0x03;
const OCTET_STRING = 0x04;
const OBJECT_ID = 0x06;
const UTF8_STRING = 0x0c;
const UTC_TIME = 0x17;
const GENERALIZED_TIME = 0x18;
const SEQUENCE = 0x30;
const SET = 0x31;

function der(tag: number, ...contents: Uint8Array[]): Buffer {
  const content = Buffer.concat(contents);
  const bytes: number[] = [];
  for (let rest = content.length; rest > 0; rest >>>= 8) bytes.unshift(rest & 0xff);
  const length = content.length < 0x80 ? [content.length] : [0x80 | bytes.length, ...bytes];
  return Buffer.concat([Buffer.from([tag, ...length]), content]);
}

function sequence(...contents: Uint8Array[]): Buffer {
  return der(SEQUENCE, ...contents);
}

/** Positive, and without needless leading zeroes (X.690 section 8.3.2). */
function integer(bytes: Uint8Array): Buffer {
  const first = bytes.findIndex((byte) => byte !== 0);
  const value = first === -1 ? Buffer.from([0]) : bytes.subarray(first);
  return der(INTEGER, value[0]! >= 0x80 ? Buffer.from([0]) : Buffer.alloc(0), value);
}

function objectId(dotted: string): Buffer {
  const [first = 0, second = 0, ...rest] = dotted.split('.').map(Number);
  const bytes = [first * 40 + second];
  for (const arc of rest) {
    const digits = [arc & 0x7f];
    for (let high = arc >>> 7; high > 0; high >>>= 7) digits.unshift((high & 0x7f) | 0x80);
    bytes.push(...digits);
  }
  return der(OBJECT_ID, Buffer.from(bytes));
}

function extension(id: string, value: Buffer, { critical = false } = {}): Buffer {
  const flag = critical ? der(BOOLEAN, Buffer.from([0xff])) : Buffer.alloc(0);
  return sequence(objectId(id), flag, der(OCTET_STRING, value));
}

/** From 2050 on years have four digits (RFC 5280 section 4.1.2.5). */
function time(date: Date): Buffer {
  const digits = `${date.toISOString().replaceAll(/[-:T]|\.\d+/g, '')}`;
  return date.getUTCFullYear() < 2050
    ? der(UTC_TIME, Buffer.from(digits.slice(2)))
    : der(GENERALIZED_TIME, Buffer.from(digits));
}

function alternativeName(name: string): Buffer {
  if (isIP(name) === 0) return der(0x82, Buffer.from(name, 'latin1'));
  return der(0x87, isIP(name) === 4 ? Buffer.from(name.split('.').map(Number)) : ipv6Bytes(name));
}

function ipv6Bytes(address: string): Buffer {
  // The URL parser expands what may be abbreviated, and writes a mapped IPv4 address in hex.
  const [head = '', tail] = new URL(`http://[${address}]`).hostname.slice(1, -1).split('::');
  const before = head === '' ? [] : head.split(':');
  const after = tail === undefined || tail === '' ? [] : tail.split(':');
  const groups = [...before, ...new Array<string>(8 - before.length - after.length).fill('0'), ...after];
  return Buffer.from(groups.map((group) => group.padStart(4, '0')).join(''), 'hex');
}
