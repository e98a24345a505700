/**
 * Reads the address of a PostgreSQL database: `postgres://USER@HOST:PORT,HOST:PORT/DATABASE?PARAMETER=VALUE&…`. Of
 * several hosts the pool uses the one that is the primary.
 *
 * The parameters have the names and meanings of libpq where it has them (PostgreSQL 15 documentation, 34.1.2
 * "Parameter Key Words"), with two exceptions. TLS with verification is the default for hosts of other machines. The
 * modes `allow` and `prefer` are refused, because they fall back to plain text silently.
 */
import { readFileSync } from 'node:fs';
import { isIP, isIPv6 } from 'node:net';
import type { ConnectionOptions } from 'node:tls';
import { OperatorError } from '../../../common/operator_error.ts';

export interface DatabaseAddress {
  /** In the order in which they are tried. A host that begins with `/` is the directory of a Unix socket. */
  hosts: { host: string; port: number }[];
  database: string;
  user: string;
  /** Returns the password. A file is read at every connection, so that it can be replaced. Throws `OperatorError`. */
  password: () => string | undefined;
  /** Returns the options of TLS for a host; false for plain text. Throws `OperatorError`. */
  tls: (host: string) => ConnectionOptions | false;
}

const DEFAULT_PORT = 5432;
const PARAMETERS = ['host', 'sslmode', 'sslrootcert', 'sslcert', 'sslkey', 'password_file'] as const;
type Parameter = (typeof PARAMETERS)[number];
const TLS_MODES = ['disable', 'require', 'verify-ca', 'verify-full'] as const;
type TlsMode = (typeof TLS_MODES)[number];

/** Tells the address of a database from the name of a directory. */
export function isDatabaseUrl(text: string): boolean {
  return /^postgres(ql)?:\/\//.test(text);
}

/** Tells whether a text has a password where addresses have one. It need not be a good address. */
export function hasPassword(text: string): boolean {
  return /:\/\/[^@]*:[^@]*@/.test(text) || /[?&]password=/i.test(text);
}

/** Names hosts and database for logs and pages: `postgres://db1:5432,db2:5432/imdswatch`. */
export function describeAddress({ hosts, database }: DatabaseAddress): string {
  const places = hosts.map(({ host, port }) => {
    if (host.startsWith('/')) return host;
    return `${isIPv6(host) ? `[${host}]` : host}:${port}`;
  });
  return `postgres://${places.join(',')}/${database}`;
}

/** Parses an address. Throws `OperatorError`, whose message never has the password. */
export function parseDatabaseUrl(url: string): DatabaseAddress {
  const match =
    /^postgres(?:ql)?:\/\/(?:(?<userinfo>[^@/?#]*)@)?(?<hosts>[^/?#@]*)(?:\/(?<database>[^?#]*))?(?:\?(?<query>[^#]*))?$/.exec(
      url,
    );
  if (match === null) {
    throw invalid(
      'it is not postgres://USER@HOST:PORT/DATABASE. Characters such as @, / and # in a user or password are written as %40, %2F and %23',
    );
  }
  const { userinfo = '', hosts = '', database = '', query = '' } = match.groups!;
  const colon = userinfo.indexOf(':');
  const user = decode(colon === -1 ? userinfo : userinfo.slice(0, colon));
  const written = colon === -1 ? null : decode(userinfo.slice(colon + 1));
  if (user === '') throw invalid('it names no user');
  if (database === '') throw invalid('it names no database');
  const parameters = readParameters(query);
  const passwordFile = parameters.get('password_file');
  if (written !== null && passwordFile !== undefined) {
    throw invalid('it has a password and a password_file. Keep one of them');
  }
  return {
    hosts: readHosts(parameters.get('host') ?? hosts),
    database: decode(database),
    user,
    password: () =>
      passwordFile === undefined
        ? (written ?? undefined)
        : readFile('password_file', passwordFile).replace(/\r?\n$/, ''),
    tls: tlsOf(parameters),
  };
}

function readParameters(query: string): Map<Parameter, string> {
  const parameters = new Map<Parameter, string>();
  for (const [name, value] of new URLSearchParams(query)) {
    if (!PARAMETERS.some((known) => known === name)) {
      throw invalid(`its parameter ${name} is not one of ${PARAMETERS.join(', ')}`);
    }
    parameters.set(name as Parameter, value);
  }
  return parameters;
}

function readHosts(text: string): DatabaseAddress['hosts'] {
  if (text === '') throw invalid('it names no host');
  return decode(text)
    .split(',')
    .map((each) => {
      if (each.startsWith('/')) return { host: each, port: DEFAULT_PORT };
      const { host, bracketed, port } =
        /^(?:\[(?<bracketed>[^\]]+)\]|(?<host>[^:[\]]+))(?::(?<port>\d{1,5}))?$/.exec(each)?.groups ?? {};
      const name = bracketed ?? host;
      const number = port === undefined ? DEFAULT_PORT : Number(port);
      if (name === undefined || number === 0 || number > 65_535) {
        throw invalid(`its host "${each}" is not HOST, HOST:PORT or [ADDRESS]:PORT`);
      }
      return { host: name, port: number };
    });
}

function tlsOf(parameters: ReadonlyMap<Parameter, string>): DatabaseAddress['tls'] {
  const mode = parameters.get('sslmode');
  if (mode !== undefined && !TLS_MODES.some((known) => known === mode)) {
    const reason =
      mode === 'allow' || mode === 'prefer' ? ', because that falls back to plain text silently' : '';
    throw invalid(`its sslmode ${mode} is not one of ${TLS_MODES.join(', ')}${reason}`);
  }
  const [root, certificate, key] = (['sslrootcert', 'sslcert', 'sslkey'] as const).map((name) =>
    parameters.get(name),
  );
  if ((certificate === undefined) !== (key === undefined)) {
    throw invalid('sslcert and sslkey belong together, and it has one of them');
  }
  return (host) => {
    const chosen = (mode as TlsMode | undefined) ?? (isThisMachine(host) ? 'disable' : 'verify-full');
    // A server does not offer TLS on a Unix socket.
    if (chosen === 'disable' || host.startsWith('/')) return false;
    return {
      rejectUnauthorized: chosen !== 'require',
      // An address in a certificate is compared by the host, and a name by the name that TLS sends.
      ...(isIP(host) === 0 ? { servername: host } : { host }),
      ...(root === undefined || root === 'system' ? {} : { ca: readFile('sslrootcert', root) }),
      ...(certificate === undefined ? {} : { cert: readFile('sslcert', certificate) }),
      ...(key === undefined ? {} : { key: readFile('sslkey', key) }),
      ...(chosen === 'verify-ca' ? { checkServerIdentity: () => undefined } : {}),
    };
  };
}

function isThisMachine(host: string): boolean {
  return host.startsWith('/') || host === 'localhost' || host === '::1' || /^127(\.\d{1,3}){3}$/.test(host);
}

function readFile(parameter: string, file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (error) {
    throw new OperatorError(
      3,
      `The file ${file} (${parameter} of the database address) cannot be read: ${(error as Error).message}. Let the user of the collector read it, or name another file.`,
      { cause: error },
    );
  }
}

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw invalid('it has a % without two hexadecimal digits. A % itself is written as %25');
  }
}

function invalid(reason: string): OperatorError {
  return new OperatorError(2, `The address of the database cannot be used: ${reason}.`);
}
