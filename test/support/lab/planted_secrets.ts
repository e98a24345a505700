/** More than 200 secrets, each in another place, shape or encoding, and a harmless marker beside each of them. */
import { createHash } from 'node:crypto';
import { ENCODINGS } from '../agent/identity/secret_arbitraries.ts';

export interface Planted {
  place: string;
  secret: string;
  /** Found in the records of calls if the place was reached. */
  marker: string;
}
export interface PlantedRequest extends Planted {
  request: string;
}
export interface PlantedCaller extends Planted {
  argv: string[];
  cwd: string | null;
  /** A file that must be there first: a copy of Python to run, or a script. */
  file: { path: string; isPython: boolean } | null;
}

/** A caller stays until its input ends: an agent reads some of what it shows from a process that lives. */
const CALL =
  "import socket,sys;c=socket.create_connection(('169.254.169.254',80));c.sendall(b'GET /latest/meta-data/ HTTP/1.1\\r\\n\\r\\n');c.recv(99);sys.stdin.read()";
export const CALL_CODE = CALL;
export const PYTHON = '/usr/bin/python3';

/** Returns the same secrets in each run, and no secret twice. */
export function randomText(seed: string, length: number): string {
  let text = '';
  for (let n = 0; text.length < length; n++)
    text += createHash('sha256').update(`${seed} ${n}`).digest('base64').slice(0, 40);
  return text.slice(0, length);
}

export const urlSafe = (text: string) => text.replaceAll('+', '-').replaceAll('/', '_');
export const SHAPES: Record<string, (seed: string) => string> = {
  token: (seed) => `AQAEA${urlSafe(randomText(seed, 49))}==`,
  key: (seed) => randomText(seed, 40),
  session: (seed) => `IQoJb3JpZ2luX2VjE${randomText(seed, 300)}`,
  imdswatch: (seed) => `imdsw_p${urlSafe(randomText(seed, 43))}`,
};

const get = (target: string, headers = '') => `GET ${target} HTTP/1.1\r\nHost: x\r\n${headers}\r\n`;
const REQUEST_PLACES: Record<string, (secret: string, marker: string) => string> = {
  path: (secret, marker) => get(`/latest/meta-data/${marker};/${secret}`),
  'path, before a segment': (secret, marker) => get(`/latest/${secret};/${marker}`),
  role: (secret, marker) => get(`/latest/meta-data/iam/security-credentials/${secret}?${marker}`),
  query: (secret, marker) => get(`/latest/meta-data/?a=${marker}&k=${secret}`),
  'query, name': (secret, marker) => get(`/latest/meta-data/?a=${marker}&${secret}=1`),
  'query, bare': (secret, marker) => get(`/latest/${marker}?${secret}`),
  'user agent': (secret, marker) => get('/latest/', `User-Agent: ${marker} ${secret}\r\n`),
  'user agent, glued': (secret, marker) => get('/latest/', `User-Agent: ${marker}; x${secret} linux\r\n`),
  'session token': (secret, marker) => get(`/latest/${marker}`, `X-aws-ec2-metadata-token: ${secret}\r\n`),
  'another header': (secret, marker) => get(`/latest/${marker}`, `Cookie: a=${secret}\r\n`),
};
const REQUEST_ENCODINGS = [
  'plain',
  'percent-encoded',
  'percent-encoded twice',
  'percent-encoded in every character',
  'percent-encoded in its first character',
];

/** Returns a request for each place, shape and encoding. The rounds have other secrets and other markers. */
export function plantedRequests(round: 'first' | 'live' = 'first'): PlantedRequest[] {
  const planted: PlantedRequest[] = [];
  for (const [where, requestOf] of Object.entries(REQUEST_PLACES)) {
    for (const [shape, secretOf] of Object.entries(SHAPES)) {
      for (const encoding of round === 'live' ? ['plain'] : REQUEST_ENCODINGS) {
        const place = `${round} ${where}: ${shape}, ${encoding}`;
        const marker = `${round}mark${planted.length}x`;
        const secret = secretOf(place);
        planted.push({ place, secret, marker, request: requestOf(ENCODINGS[encoding]!(secret), marker) });
      }
    }
  }
  return planted;
}

const ARGUMENT_PLACES: Record<string, (secret: string) => string> = {
  alone: (secret) => secret,
  'glued to an option': (secret) => `-t${secret}`,
  'glued to a letter': (secret) => `x${secret}`,
  'in a URL': (secret) => `--foo=https://x/?s=${secret}`,
  'in JSON': (secret) => `{"a": "${secret}", "b": 1}`,
  'in code': (secret) => `x='${secret}'; run`,
};
const ARGUMENT_ENCODINGS = ['plain', 'percent-encoded', 'JSON with escaped slashes', 'two quoted parts'];

/** `home`: where files of callers may be made. */
export function plantedCallers(home: string): PlantedCaller[] {
  const planted: PlantedCaller[] = [];
  const add = (
    place: string,
    secret: string,
    rest: (marker: string) => Omit<PlantedCaller, keyof Planted>,
  ) => {
    const marker = `cmark${planted.length}x`;
    planted.push({ place, secret, marker, ...rest(marker) });
  };
  for (const [where, argumentOf] of Object.entries(ARGUMENT_PLACES)) {
    for (const shape of ['token', 'key']) {
      for (const encoding of ARGUMENT_ENCODINGS) {
        const place = `argument ${where}: ${shape}, ${encoding}`;
        const secret = SHAPES[shape]!(place);
        add(place, secret, (marker) => ({
          argv: [PYTHON, '-c', CALL, marker, argumentOf(ENCODINGS[encoding]!(secret))],
          cwd: null,
          file: null,
        }));
      }
    }
  }
  for (const shape of ['token', 'key', 'imdswatch']) {
    const secretFor = (place: string) => urlSafe(SHAPES[shape]!(`${place} ${shape}`));
    const executable = secretFor('executable');
    add(`executable and comm: ${shape}`, executable, (marker) => ({
      argv: [`${home}/${marker}.d/${executable}`, '-c', CALL],
      cwd: null,
      file: { path: `${home}/${marker}.d/${executable}`, isPython: true },
    }));
    const directory = secretFor('directory');
    add(`directory of the executable: ${shape}`, directory, (marker) => ({
      argv: [`${home}/${directory}/py.${marker}`, '-c', CALL],
      cwd: null,
      file: { path: `${home}/${directory}/py.${marker}`, isPython: true },
    }));
    const script = secretFor('script');
    add(`script: ${shape}`, script, (marker) => ({
      argv: [PYTHON, `${home}/${marker}.d/${script}.py`],
      cwd: null,
      file: { path: `${home}/${marker}.d/${script}.py`, isPython: false },
    }));
    const cwd = secretFor('working directory');
    add(`working directory: ${shape}`, cwd, (marker) => ({
      argv: [PYTHON, '-c', CALL],
      cwd: `${home}/${marker}.d/${cwd}`,
      file: null,
    }));
    const parent = secretFor('parent');
    add(`argument of a parent: ${shape}`, parent, (marker) => ({
      argv: ['sh', '-c', `"$0" -c "$1" ${marker}; true`, PYTHON, CALL, `x${parent}`],
      cwd: null,
      file: null,
    }));
    const argv0 = secretFor('argv0');
    add(`first argument: ${shape}`, argv0, (marker) => ({
      argv: ['bash', '-c', `exec -a "$2" "$0" -c "$1" ${marker}`, PYTHON, CALL, argv0],
      cwd: null,
      file: null,
    }));
  }
  return planted;
}
