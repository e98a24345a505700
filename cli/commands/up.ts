/**
 * `imdswatch up` runs agent and collector on one machine. The collector is a separate process: its store
 * waits for the disk, and the capture of packets must not wait for that.
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

const AGENT_SETTINGS_SET_HERE = {
  collector_url: true,
  agent_token: true,
  agent_token_file: true,
  collector_ca_file: true,
  tls_cert_file: true,
  tls_key_file: true,
} as const;
/**
 * Settings of the collector that `up` has too. A certificate of the operator is missing: the agent here
 * cannot know the name in it, so that case needs the two separate commands.
 */
const COLLECTOR_SETTINGS = {
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
  ...collectorSettings.pick(COLLECTOR_SETTINGS).shape,
  ...agentSettings.omit(AGENT_SETTINGS_SET_HERE).shape,
});
const MAIN = fileURLToPath(new URL('../main.ts', import.meta.url));
/** V8's young generation grows to 64 MiB on a large machine. The collector's unit sets the same flag. */
const COLLECTOR_HEAP = '--max-semi-space-size=8';

export async function run(argv: string[]): Promise<number> {
  const { settings } = loadSettings(upSettings, {
    command: 'up',
    summary: 'Runs agent and collector together on this machine.',
    argv,
    env: process.env,
    short: { i: 'interface' },
  });
  const log = createLogger(settings.log_level, 'agent');
  const signalled = untilSignal();
  // No other agent reports to this collector, so its token is valid only for these two processes.
  const token = randomBytes(24).toString('base64url');
  // The host id must be known before anything starts: the collector's token is for this host only.
  const identity = openHostIdentity(settings, log);
  const { id: hostId } = identity.isSettled ? identity.facts : await identity.settled();
  const collector = fork(MAIN, ['collector', ...collectorFlags(settings, hostId)], {
    env: { ...withoutSettings(process.env), IMDSWATCH_AGENT_TOKEN: token },
    // Ctrl-C sends SIGINT to the terminal's whole process group, but the collector must end after the agent.
    detached: true,
    execArgv: [...process.execArgv, COLLECTOR_HEAP],
    stdio: ['ignore', 'ignore', 'inherit', 'ipc'],
  });
  const collectorExit = once(collector, 'exit') as Promise<[number | null]>;
  const url = await Promise.race([
    once(collector, 'message').then(([message]) => (message as { listening: string }).listening),
    collectorExit.then(([code]) => {
      throw new OperatorError(
        code === 2 || code === 3 ? code : 1,
        'The collector did not start. Its error message is above.',
      );
    }),
  ]);
  let agent: Awaited<ReturnType<typeof startAgent>>;
  try {
    agent = await startAgent(
      {
        ...settings,
        collector_url: localUrl(url),
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
    await collectorExit;
    throw error;
  }
  const reason = await Promise.race([signalled, collectorExit.then(() => 'collector' as const)]);
  await agent.stop();
  if (reason === 'collector') {
    throw new OperatorError(
      1,
      'The collector ended unexpectedly. Records that it did not store are kept in the spool. Start "imdswatch up" again.',
    );
  }
  collector.kill('SIGTERM');
  const [code] = await collectorExit;
  return code ?? 1;
}

/**
 * Returns the collector's flags. Its token is for this host: it also works with a new spool, and enrols no
 * other host.
 */
function collectorFlags(settings: z.infer<typeof upSettings>, hostId: string): string[] {
  const flags = [`--agent-token-host=${hostId}`, '--log-level', settings.log_level];
  for (const key of Object.keys(COLLECTOR_SETTINGS) as (keyof typeof COLLECTOR_SETTINGS)[]) {
    const value = settings[key];
    const flag = `--${key.replaceAll('_', '-')}`;
    if (value === true) flags.push(flag);
    else if (value !== undefined && value !== false && String(value) !== '') flags.push(`${flag}=${value}`);
  }
  return flags;
}

/**
 * Returns the loopback address for a collector that listens on every address. Its certificate contains that
 * address.
 */
function localUrl(listening: string): string {
  const url = new URL(listening);
  if (url.hostname === '0.0.0.0') url.hostname = '127.0.0.1';
  if (url.hostname === '[::]') url.hostname = '[::1]';
  return url.href;
}

/**
 * Removes the settings from the environment: they are for `up`, and the collector gets its settings by flags.
 */
function withoutSettings(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(Object.entries(env).filter(([name]) => !name.startsWith('IMDSWATCH_')));
}
