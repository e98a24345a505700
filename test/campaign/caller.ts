/**
 * A load of a campaign, as a process in one of the lab's namespaces: `caller.ts FIRST STEP PER_SECOND`. Calls the metadata
 * service once `go` came on its input and until that ends, each call with a number of its own in its query: FIRST, FIRST + STEP and so on. Sends no
 * call twice and minds no failure: which calls were answered is the service's to say. A line `pause`
 * holds the load until the next `go`.
 */
import { Agent, request } from 'node:http';
import { createInterface } from 'node:readline';
import { IMDS_IPV4, TOKEN_HEADER, TOKEN_TTL_HEADER } from '../../protocol/endpoints.ts';

const PATHS = [
  '/latest/meta-data/instance-id',
  '/latest/meta-data/placement/availability-zone',
  '/latest/dynamic/instance-identity/document',
  '/latest/meta-data/iam/security-credentials/',
  '/latest/meta-data/iam/security-credentials/app',
];
const TOKEN_PATH = '/latest/api/token';
const TTL_SECONDS = '300';
const TIMEOUT_MS = 3_000;
const STEP_MS = 10;
/** One IMDSv2 call in so many asks for a new token. */
const TOKEN_EVERY = 12;

const [first = 0, step = 1, perSecond = 20] = process.argv.slice(2).map(Number);
const kept = new Agent({ keepAlive: true, maxSockets: 3, maxFreeSockets: 3 });
let token: string | null = null;
let made = 0;
let isPaused = true;

interface Call {
  method: 'GET' | 'PUT';
  path: string;
  headers: Record<string, string>;
  isKept: boolean;
}

function callOf(count: number): Call {
  const number = first + count * step;
  const isKept = count % 3 !== 0;
  const path = PATHS[Math.floor(count / 2) % PATHS.length]!;
  if (count % 2 === 0) return { method: 'GET', path: `${path}?n=${number}`, headers: {}, isKept };
  if (token === null || count % TOKEN_EVERY === 1) {
    const headers = { [TOKEN_TTL_HEADER]: TTL_SECONDS };
    return { method: 'PUT', path: `${TOKEN_PATH}?n=${number}`, headers, isKept };
  }
  return { method: 'GET', path: `${path}?n=${number}`, headers: { [TOKEN_HEADER]: token }, isKept };
}

function make({ method, path, headers, isKept }: Call): void {
  const options = { host: IMDS_IPV4, method, path, headers, timeout: TIMEOUT_MS };
  const asked = request({ ...options, agent: isKept ? kept : false }, (response) => {
    let body = '';
    response.setEncoding('utf8').on('data', (chunk: string) => {
      body += chunk;
    });
    response.on('end', () => {
      if (method === 'PUT' && response.statusCode === 200) token = body;
      // The service that gave it is gone.
      else if (response.statusCode === 401) token = null;
    });
    response.on('error', () => {});
  });
  asked.on('timeout', () => asked.destroy());
  asked.on('error', () => {});
  asked.end();
}

let beganMs = performance.now();
setInterval(() => {
  if (isPaused) return;
  const due = ((performance.now() - beganMs) / 1000) * perSecond;
  if (due < 1) return;
  // A process that was starved does not make up for it in a burst.
  beganMs = performance.now();
  for (let count = 0; count < Math.min(Math.round(due), 10); count += 1) make(callOf(made++));
}, STEP_MS);

createInterface({ input: process.stdin })
  .on('line', (line) => {
    isPaused = line !== 'go';
    beganMs = performance.now();
  })
  .on('close', () => process.exit(0));
