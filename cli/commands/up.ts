/**
 * `imdswatch up`: agent and collector on one machine. The collector is a process of its own: its store waits for the
 * disk, and packets must not wait for that.
 */
import { fork } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import * as z from 'zod';
import { agentSettings } from '../../agent/config.ts';
import { openHostIdentity, startAgent } from '../../agent/main.ts';
import { collectorSettings } from '../../collector/config.ts';
import { selfSignedFiles } from '../../collector/local.ts';
import { OperatorError } from '../../common/operator_error.ts';
import { createLogger } from '../log.ts';
import { loadSettings } from '../settings/settings.ts';
import { untilSignal } from '../signals.ts';

const own = {
  collector_url: true,
  agent_token: true,
  agent_token_file: true,
  collector_ca_file: true,
  tls_cert_file: true,
  tls_key_file: true,
} as const;
/** A certificate of the operator's is for a name, which the agent here cannot know: that takes the two commands. */
const ofCollector = {
  listen: true,
  public_url: true,
  data_dir: true,
  tls_self_signed: true,
  insecure_http: true,
  proxy_user_header: true,
  proxy_trusted_addresses: true,
  proxy_admins: true,
  silent_after_seconds: true,
  readiness_window_days: true,
  readiness_max_missing_seconds: true,
} as const;
const upSettings = z.object({
  ...collectorSettings.pick(ofCollector).shape,
  ...agentSettings.omit(own).shape,
});
const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));
/** The collector's unit has it too: V8's young generation grows to eight times that on a large machine, and stays. */
const COLLECTOR_HEAP = '--max-semi-space-size=16';

export async function run(argv: string[]): Promise<number> {
  const { settings } = loadSettings(upSettings, {
    command: 'up',
    summary: 'Runs agent and collector together on this machine, with an embedded store.',
    argv,
    env: process.env,
    short: { i: 'interface' },
  });
  const log = createLogger(settings.log_level, 'agent');
  const signalled = untilSignal();
  // Nobody else reports to this collector: its token lives as long as these two processes.
  const token = randomBytes(24).toString('base64url');
  // Settled before anything starts: the collector's token is for this host and no other.
  const identity = openHostIdentity(settings, log);
  const { id: hostId } = identity.isSettled ? identity.facts : await identity.settled();
  const collector = fork(MAIN, ['collector', ...collectorFlags(settings, hostId)], {
    env: { ...withoutSettings(process.env), IMDSWATCH_AGENT_TOKEN: token },
    // A Ctrl-C goes to the whole terminal's group; the collector must end after the agent.
    detached: true,
    execArgv: [...process.execArgv, COLLECTOR_HEAP],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const gone = once(collector, 'exit') as Promise<[number | null]>;
  const url = await Promise.race([
    once(collector, 'message').then(([message]) => (message as { listening: string }).listening),
    gone.then(([code]) => {
      throw new OperatorError(code === 2 || code === 3 ? code : 1, 'The collector did not start; see above.');
    }),
  ]);
  let agent: Awaited<ReturnType<typeof startAgent>>;
  try {
    agent = await startAgent(
      {
        ...settings,
        collector_url: ownUrl(url),
        collector_ca_file: settings.tls_self_signed ? selfSignedFiles(settings.data_dir).certFile : undefined,
        agent_token: token,
        agent_token_file: undefined,
        tls_cert_file: undefined,
        tls_key_file: undefined,
      },
      log,
      identity,
    );
  } catch (error) {
    collector.kill('SIGTERM');
    await gone;
    throw error;
  }
  const end = await Promise.race([signalled, gone.then(() => 'collector' as const)]);
  await agent.stop();
  if (end === 'collector') {
    throw new OperatorError(
      1,
      'The collector has ended unexpectedly; what it did not store is kept in the spool.',
    );
  }
  collector.kill('SIGTERM');
  const [code] = await gone;
  return code ?? 1;
}

/** The token speaks for this host and enrols nobody: it works with a new spool, and other hosts need one of their own. */
function collectorFlags(settings: z.infer<typeof upSettings>, hostId: string): string[] {
  const flags = [`--agent-token-host=${hostId}`, '--log-level', settings.log_level];
  for (const key of Object.keys(ofCollector) as (keyof typeof ofCollector)[]) {
    const value = settings[key];
    const flag = `--${key.replaceAll('_', '-')}`;
    if (value === true) flags.push(flag);
    else if (value !== undefined && value !== false && String(value) !== '') flags.push(`${flag}=${value}`);
  }
  return flags;
}

/** A collector that listens on every address listens here too, under a name that the certificate has. */
function ownUrl(listening: string): string {
  const url = new URL(listening);
  if (url.hostname === '0.0.0.0') url.hostname = '127.0.0.1';
  if (url.hostname === '[::]') url.hostname = '[::1]';
  return url.href;
}

/** The child is told everything by flags: what the environment says is for `up`. */
function withoutSettings(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('IMDSWATCH_')));
}
