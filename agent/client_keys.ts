/**
 * Names the client that sent a request, so that a read can be joined with the token request before it. One
 * process may hold several clients (two SDKs, a proxy for many programs), and one client may be several processes
 * (a script that runs `curl` twice). Pure.
 *
 * Every key holds the user agent, because an IMDSv1 client in the process of an IMDSv2 client must not pass for a
 * fallback. All 40 clients that were measured to fall back send one user agent with both requests, but for one.
 */
import type { Ancestor, ProcessFacts } from '../protocol/call.ts';
import { type ConnectionContext, callerKey } from './connection_context.ts';
import type { ExchangeRequest } from './conversation/exchange.ts';
import type { ClientKey } from './conversation/fallback.ts';

const MINUTE_US = 60_000_000;
/**
 * The longest life of a token and of the credentials of an instance's role (EC2 user guide, "Use IMDSv2"). A client
 * that remembers to go without tokens reads again within this time.
 */
const LONG_US = 360 * MINUTE_US;
/** Commands of one job, and requests of a caller that is known by its address only, follow each other. */
const SHORT_US = MINUTE_US;

/** AWS SDK for JavaScript v2 sends its user agent with IMDSv1 reads only (2.575.0 to 2.1693.0, measured). */
const NAMED_ON_READS_ONLY = /^aws-sdk-nodejs\//;

const SHELL = /^(?:ba|da|a|z|k|mk|rba)?sh$/;
/** Programs that run one command as their child and wait for it. */
const WRAPPER = /^(?:sudo|doas|timeout|xargs|flock|time|setsid|unshare|nsenter|chronic|strace|ltrace)$/;

/** The facts that name a client. */
export interface Client extends Pick<ConnectionContext, 'owner' | 'process'> {
  /** The source address of its requests. */
  address: string;
  /** It sends the requests of programs that are not known. */
  isShared: boolean;
}

/** Returns the keys under which a token request is known. */
export function keysOfTokenRequest(client: Client, request: ExchangeRequest): ClientKey[] {
  const keys: ClientKey[] = [];
  const name = nameIn(request);
  const process = callerKey(client);
  if (process !== null) {
    keys.push(keyOf(`process ${process}`, name, lifeOf(client, request), true));
    for (const job of familyOf(client).allJobs) keys.push(keyOf(job.key, name, job.lastsUs));
  }
  keys.push(keyOf(`address ${client.address}`, name, SHORT_US));
  return keys;
}

/** Returns the keys under which the token request of a read may be known, the surest first. */
export function keysOfRead(client: Client, request: ExchangeRequest): ClientKey[] {
  const process = callerKey(client);
  if (process === null) {
    return namesOfRead(request).map((name) => keyOf(`address ${client.address}`, name, SHORT_US));
  }
  const lastsUs = lifeOf(client, request);
  const { parents, nearJobs } = familyOf(client);
  const keys: ClientKey[] = [];
  for (const name of namesOfRead(request)) {
    keys.push(keyOf(`process ${process}`, name, lastsUs, true));
    for (const parent of parents) keys.push(keyOf(`process ${parent}`, name, lastsUs));
    for (const job of nearJobs) keys.push(keyOf(job.key, name, job.lastsUs));
  }
  return keys;
}

/** Returns the keys that name one process of a client or its job; none of a client that only its address names. */
export function processKeys(client: Client, keys: readonly ClientKey[]): readonly ClientKey[] {
  if (client.owner === null) return [];
  return keys.some(isAddress) ? keys.filter((key) => !isAddress(key)) : keys;
}

function isAddress({ key }: ClientKey): boolean {
  return key.startsWith('address ');
}

interface Job {
  key: string;
  lastsUs: number;
}

/** The processes that one client is a part of. */
interface Family {
  /** Parents that run the same command: see `forkedFrom`. */
  parents: readonly string[];
  /** See `jobsOf`. */
  nearJobs: readonly Job[];
  allJobs: readonly Job[];
}

const NO_FAMILY: Family = { parents: [], nearJobs: [], allJobs: [] };
/** A process that calls often is described by the same value each time. */
const families = new WeakMap<ProcessFacts, { owner: Client['owner']; family: Family }>();

function familyOf(client: Client): Family {
  const { owner, process } = client;
  if (process === null) return NO_FAMILY;
  const known = families.get(process);
  if (known?.owner === owner) return known.family;
  const family = {
    parents: forkedFrom(client),
    nearJobs: jobsOf(client, false),
    allJobs: jobsOf(client, true),
  };
  families.set(process, { owner, family });
  return family;
}

function namesOfRead(request: ExchangeRequest): string[] {
  const name = nameIn(request);
  if (!NAMED_ON_READS_ONLY.test(request.userAgent ?? '')) return [name];
  return [name, nameIn({ ...request, userAgent: null })];
}

/** Returns how long a failure explains reads. Two clients behind one proxy may look alike, so it is short there. */
function lifeOf({ isShared }: Client, { relayedFor }: ExchangeRequest): number {
  return isShared || relayedFor != null ? SHORT_US : LONG_US;
}

function keyOf(who: string, name: string, lastsUs: number, isProcess = false): ClientKey {
  return { key: `${who}\0${name}`, lastsUs, isProcess };
}

/** A proxy adds the address of its client, which tells its clients apart. */
function nameIn({ userAgent, relayedFor }: Pick<ExchangeRequest, 'userAgent' | 'relayedFor'>): string {
  return `${relayedFor ?? ''}\0${userAgent ?? ''}`;
}

/** Returns the parents that run the same command: a worker that was forked remembers what its parent learned. */
function forkedFrom({ owner, process }: Client): string[] {
  if (process === null || process.command_args === null) return [];
  const args = process.command_args.join('\0');
  return process.ancestors.flatMap((parent, at) =>
    parent['executable.path'] === process['executable.path'] && parent.command_args?.join('\0') === args
      ? [instanceOf(owner, parent, at)]
      : [],
  );
}

/**
 * Returns the jobs of which a program without a script is a part, the nearest first: the shell or the script that ran
 * it, and a script that ran this through `sh -c`. With `all` also the shells further up, for the script that calls
 * another one to get its token. Only processes of the same executable are joined, so a program of its own that a script
 * starts never shares the state of another one.
 */
function jobsOf({ owner, process }: Client, all: boolean): Job[] {
  if (process === null || process.script !== null || process['executable.path'] === null) return [];
  // Without arguments it is not known whether it runs a script.
  if (process.command_args === null) return [];
  const jobs: Job[] = [];
  const { ancestors } = process;
  let isCommand = true;
  for (let at = 0; at < ancestors.length; at++) {
    const parent = ancestors[at]!;
    if (parent.pid === 1) break;
    if (WRAPPER.test(baseName(parent))) continue;
    const isShell = SHELL.test(baseName(parent));
    if (!isShell && parent.script == null) break;
    // A subshell is a copy of its shell.
    if (isShell && isSameCommand(parent, ancestors[at + 1])) continue;
    if (!isCommand && !(all && isShell)) break;
    jobs.push({
      key: `job ${instanceOf(owner, parent, at)} ${process['executable.path']}`,
      lastsUs: jobs.length === 0 ? LONG_US : SHORT_US,
    });
    isCommand &&= isShell && runsCommand(parent);
    if (!isShell) break;
  }
  return jobs;
}

function isSameCommand(a: Ancestor, b: Ancestor | undefined): boolean {
  if (b === undefined || a.command_args === null || b.command_args === null) return false;
  return (
    a['executable.path'] === b['executable.path'] && a.command_args.join('\0') === b.command_args.join('\0')
  );
}

/** Returns whether a shell runs commands of its command line (`sh -c`). */
function runsCommand({ command_args: args }: Ancestor): boolean {
  return (args ?? []).slice(1, 3).some((argument) => /^-[a-z]*c$/.test(argument));
}

/** Returns the name of a program. One executable holds all programs of BusyBox, so the process is named. */
function baseName({ 'executable.path': path, name }: Ancestor): string {
  const base = path === null ? name : path.slice(path.lastIndexOf('/') + 1);
  return base === 'busybox' || base === 'toybox' ? name : base;
}

/** Returns a string that names one process of one boot, as far as its start is known. */
function instanceOf(owner: ConnectionContext['owner'], parent: Ancestor, at: number): string {
  const snapshot = owner?.ancestors?.[at];
  return `${parent.pid}:${snapshot?.pid === parent.pid ? snapshot.startTicks : ''}`;
}
