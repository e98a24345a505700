/**
 * Compares the calls that an observer reported, such as `imdswatch watch --json`, with the ground truth: the
 * log of the metadata service, with the owner of each request.
 */
import type { Call } from '../protocol/call.ts';
import type { Truth } from './ledger.ts';

export interface Difference {
  kind: 'missing' | 'doubled' | 'unexpected' | 'wrong';
  /** For `wrong`: the contract's name of the field, with what it should be and what it is. */
  field?: string;
  expected?: unknown;
  actual?: unknown;
  /** Client's address and port, method and path. */
  request: string;
  /** The client's or the service's name, where the lab knows it. */
  owner: string | null;
}

/** The part of a true request that is compared. Fields that the lab does not know are not compared. */
export type ComparedTruth = Pick<
  Truth,
  | 'seq'
  | 'clientAddress'
  | 'clientPort'
  | 'serverAddress'
  | 'method'
  | 'target'
  | 'version'
  | 'status'
  | 'ttlHeaderSent'
> &
  Partial<Pick<Truth, 'owner' | 'category' | 'fallback' | 'unheard' | 'workload'>>;

/**
 * Pairs the n-th request of a client's address and port, method and path with the n-th call that says the
 * same, and lists what is missing, doubled, made up or wrong. Requests that the metadata service's own HTTP
 * parser refused (method null) excuse one call each on their connection and demand none.
 */
export function compareCalls(truths: readonly ComparedTruth[], calls: readonly Call[]): Difference[] {
  const differences: Difference[] = [];
  const reported = Map.groupBy(
    calls.toSorted((a, b) => (a.time < b.time ? -1 : 1)),
    keyOfCall,
  );
  const refused = truths.filter(({ method }) => method === null);
  const happened = Map.groupBy(
    truths.filter(({ method }) => method !== null).toSorted((a, b) => a.seq - b.seq),
    keyOfTruth,
  );
  for (const [key, group] of happened) {
    const found = reported.get(key) ?? [];
    reported.delete(key);
    group.forEach((truth, index) => {
      const owner = truth.owner?.name ?? null;
      const call = found[index];
      if (call === undefined) differences.push({ kind: 'missing', request: key, owner });
      else differences.push(...wrongFields(truth, call).map((wrong) => ({ ...wrong, request: key, owner })));
    });
    for (let n = group.length; n < found.length; n++) {
      differences.push({ kind: 'doubled', request: key, owner: group[0]?.owner?.name ?? null });
    }
  }
  const excuses = Map.groupBy(refused, connectionOfTruth);
  for (const [key, surplus] of reported) {
    for (const call of surplus) {
      if (excuses.get(connectionOfCall(call))?.shift() !== undefined) continue;
      differences.push({ kind: 'unexpected', request: key, owner: call.process?.name ?? null });
    }
  }
  return differences;
}

/** Returns one line for each difference, for a failing test and for the demo. */
export function describeDifference({ kind, field, expected, actual, request, owner }: Difference): string {
  const who = owner === null ? '' : ` (${owner})`;
  if (kind !== 'wrong') return `${kind}: ${request}${who}`;
  return `wrong ${field}: ${request}${who}: ${JSON.stringify(actual)}, should be ${JSON.stringify(expected)}`;
}

function wrongFields(truth: ComparedTruth, call: Call): Omit<Difference, 'request' | 'owner'>[] {
  const wrong: Omit<Difference, 'request' | 'owner'>[] = [];
  const check = (field: string, expected: unknown, actual: unknown) => {
    if (expected !== actual) wrong.push({ kind: 'wrong', field, expected, actual });
  };
  const query = truth.target?.match(/\?(.*)$/s)?.[1] ?? null;
  if (!isMasked(call['url.query'], query)) check('url.query', query, call['url.query']);
  check('imds.version', truth.version, call['imds.version']);
  if (!truth.unheard) {
    check('http.response.status_code', truth.status, call['http.response.status_code']);
    check('outcome answered', truth.status !== null, call.outcome === 'answered');
  }
  check('imds.endpoint', truth.serverAddress.includes(':') ? 'ipv6' : 'ipv4', call['imds.endpoint']);
  // By the contract it is null if there was no answer, or an error. Values beside errors are not compared.
  if (!truth.unheard && truth.status !== null && truth.status < 400) {
    check('imds.server_version', truth.ttlHeaderSent ? 2 : 1, call['imds.server_version']);
  }
  if (truth.category !== undefined) {
    check('imds.category', truth.category, call['imds.category']);
    check('imds.fallback', truth.fallback ?? null, call['imds.fallback']);
  }
  const { owner, workload } = truth;
  if (workload) {
    for (const part of ['container', 'k8s', 'systemd'] as const) {
      const [should, is] = [workload[part], call[part]];
      if (should === null || is === null) check(part, should, is);
      else {
        const found = is as Record<string, unknown>;
        for (const [name, value] of Object.entries(should)) check(`${part}.${name}`, value, found[name]);
      }
    }
  }
  if (owner) {
    const caller = call.process;
    check('process.executable.path', owner.executable, caller?.['executable.path'] ?? null);
    check('process.script', owner.script, caller?.script ?? null);
    const family = owner.caller === 'child' ? (caller?.ancestors ?? []).map(({ pid }) => pid) : [];
    const isOwner = caller !== null && [caller.pid, ...family].includes(owner.pid);
    if (!isOwner)
      wrong.push({ kind: 'wrong', field: 'process.pid', expected: owner.pid, actual: caller?.pid ?? null });
  }
  return wrong;
}

function keyOfTruth(truth: ComparedTruth): string {
  return `${connectionOfTruth(truth)} ${truth.method} ${originForm(truth.target ?? '').replace(/\?.*$/s, '')}`;
}

function keyOfCall(call: Call): string {
  return `${connectionOfCall(call)} ${call['http.request.method']} ${originForm(call['url.path'] ?? '')}`;
}

function connectionOfTruth({ clientAddress, clientPort, serverAddress }: ComparedTruth): string {
  return `${clientAddress} ${clientPort} → ${serverAddress}`;
}

function connectionOfCall(call: Call): string {
  return `${call['source.address']} ${call['source.port']} → ${call['destination.address']}`;
}

/** Tells whether `text` is `original` with secrets replaced by `****`, as the contract asks. */
function isMasked(text: string | null, original: string | null): boolean {
  if (text === null || original === null || !text.includes('****')) return false;
  const parts = text.split('****').map((part) => part.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'));
  return new RegExp(`^${parts.join('.*')}$`, 's').test(original);
}

/** Returns an absolute-form target (RFC 9112 section 3.2.2) without its scheme and authority. */
function originForm(target: string): string {
  return target.replace(/^[a-z][a-z0-9+.-]*:\/\/[^/?#]*/i, '');
}
