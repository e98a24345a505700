/**
 * Tries the calls of the enforcement on one instance of a real account, and gives everything back. The transcript has no
 * identifier, so that people can send it in: nothing here was ever tried against a real account.
 */
import type { Cloud, CloudError, Outcome } from './cloud.ts';
import type { MetadataOptions } from './plan.ts';

export interface SelftestParts {
  cloud: Cloud;
  instanceId: string;
  /** False: only reads and dry runs. */
  mayChange: boolean;
  /** Aborted to end early. What was changed is given back all the same. */
  signal: AbortSignal;
  /** Milliseconds, from any origin. */
  now: () => number;
  sleep: (ms: number) => Promise<void>;
  print: (line: string) => void;
}

const POLL_MS = 1000;
const MAX_POLLS = 120;

/** Returns whether everything went as expected, and everything is as it was before. */
export async function selftest(parts: SelftestParts): Promise<boolean> {
  const { cloud, instanceId, mayChange } = parts;
  const run = new Transcript(parts);
  await run.call('GetCallerIdentity', cloud.callerAccount(), (account) => account === cloud.account);
  await run.call('GetInstanceMetadataDefaults', cloud.accountDefaults(), (defaults) => defaults);
  const before = await run.call('DescribeInstances', read(cloud, instanceId), (found) => found);
  if (before === null) return false;
  const { options } = before.value;
  const isEndpointEnabled = options.http_endpoint === 'enabled';
  const change = (value: 'required' | 'optional', dryRun: boolean) =>
    cloud.modifyInstance(instanceId, { http_tokens: value }, { dryRun, isEndpointEnabled });
  await run.call(
    'ModifyInstanceMetadataOptions required, dry run',
    change('required', true),
    () => 'permitted',
  );
  const back = await run.call(
    'ModifyInstanceMetadataOptions optional, dry run',
    change('optional', true),
    () => 'permitted',
  );
  await run.call('DescribeInstances after the dry runs', read(cloud, instanceId), (now) =>
    same(now.options, options),
  );
  if (!mayChange || parts.signal.aborted) return run.isGood && !parts.signal.aborted;
  if (options.http_tokens !== 'optional' || back === null) {
    run.note('Nothing is changed: the instance requires tokens already, or the way back is closed.');
    return false;
  }
  await run.call('ModifyInstanceMetadataOptions required', change('required', false), (answer) => answer);
  await run.until('required', () => read(cloud, instanceId), parts.signal);
  await run.call('ModifyInstanceMetadataOptions optional', change('optional', false), (answer) => answer);
  // Nothing ends this early: the value is to be in force again.
  await run.until('optional', () => read(cloud, instanceId), new AbortController().signal);
  const after = await run.call('DescribeInstances at the end', read(cloud, instanceId), (now) =>
    same(now.options, options),
  );
  return run.isGood && after !== null && same(after.value.options, options);
}

interface Read {
  options: MetadataOptions;
  state: 'pending' | 'applied' | null;
}

async function read(cloud: Cloud, instanceId: string): Promise<Outcome<Read>> {
  const described = await cloud.describeInstances([instanceId]);
  if (!described.ok) return described;
  const found = described.value.find((each) => each.instanceId === instanceId);
  if (found === undefined) {
    const error: CloudError = {
      kind: 'not_found',
      code: 'NotListed',
      message: 'The instance is not listed.',
    };
    return { ok: false, error };
  }
  return { ok: true, value: { options: found.options, state: found.optionsState } };
}

class Transcript {
  readonly #parts: SelftestParts;
  readonly #startMs: number;
  isGood = true;

  constructor(parts: SelftestParts) {
    this.#parts = parts;
    this.#startMs = parts.now();
  }

  note(text: string): void {
    const seconds = ((this.#parts.now() - this.#startMs) / 1000).toFixed(1).padStart(7);
    this.#parts.print(`${seconds} s  ${text}\n`);
  }

  /** Waits for a call and writes its result down. Returns null for an error. An error's message may name things, so only its code is kept. */
  async call<T>(
    name: string,
    call: Promise<Outcome<T>>,
    shown: (value: T) => unknown,
  ): Promise<{ value: T } | null> {
    const outcome = await call;
    if (outcome.ok) {
      this.note(`${name}: ${JSON.stringify(shown(outcome.value))}`);
      return { value: outcome.value };
    }
    this.isGood = false;
    this.note(`${name}: error ${outcome.error.kind} ${outcome.error.code}`);
    return null;
  }

  /** Reads until the value is in force, and writes down each answer that differs from the one before. */
  async until(
    value: 'required' | 'optional',
    again: () => Promise<Outcome<Read>>,
    signal: AbortSignal,
  ): Promise<void> {
    let last = '';
    for (let poll = 0; poll < MAX_POLLS; poll += 1) {
      if (signal.aborted) {
        this.isGood = false;
        this.note('It was ended by a signal. The value is given back.');
        return;
      }
      const outcome = await again();
      const text = outcome.ok
        ? `${outcome.value.options.http_tokens} ${outcome.value.state}`
        : `error ${outcome.error.code}`;
      if (text !== last) this.note(`DescribeInstances: ${text}`);
      last = text;
      if (text === `${value} applied`) return;
      await this.#parts.sleep(POLL_MS);
    }
    this.isGood = false;
    this.note(`It did not become ${value} in ${MAX_POLLS} reads.`);
  }
}

function same(a: MetadataOptions, b: MetadataOptions): boolean {
  return JSON.stringify(a) === JSON.stringify(b);
}
