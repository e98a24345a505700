/**
 * `imdswatch doctor` checks what works on this host, and says how to correct the rest. It sends nothing to
 * the metadata service. Exit code 0: nothing failed (with --strict: there is no warning either); 1: something
 * failed; 2: bad usage.
 */
import { existsSync } from 'node:fs';
import * as z from 'zod';
import { agentSettings } from '../../agent/config.ts';
import { effectiveCapabilities } from '../../agent/linux/capabilities.ts';
import { spoolHolder } from '../../agent/outbox/spool_lock.ts';
import { readState } from '../../agent/outbox/state_file.ts';
import { collectorSettings } from '../../collector/config.ts';
import { OperatorError } from '../../common/operator_error.ts';
import { VERSION } from '../../common/version.ts';
import { runChecks, worst } from '../doctor/all_checks.ts';
import {
  type AgentSide,
  type CollectorSide,
  type ConfigurationFile,
  isDenied,
  messageOf,
  type RunningAgent,
} from '../doctor/check.ts';
import { hostIdOf } from '../doctor/host_id.ts';
import { doctorTable } from '../doctor/table.ts';
import { loadSettings } from '../settings/settings.ts';
import { visibleJson } from '../terminal/visible_text.ts';

const AGENT_FILE = '/etc/imdswatch/agent.yaml';
const COLLECTOR_FILE = '/etc/imdswatch/collector.yaml';
/**
 * An agent runs if its last heartbeat is younger than this number of intervals, also when its pid is not
 * visible here.
 */
const FRESH_HEARTBEATS = 3;

const commandSettings = z.object({
  part: z
    .enum(['auto', 'agent', 'collector', 'both'])
    .default('auto')
    .describe(
      'What to check. auto: each part that has a configuration file or a data directory on this host; if there is none, the agent.',
    ),
  collector_config: z
    .string()
    .min(1)
    .optional()
    .describe(
      `The collector's configuration file. Default: ${COLLECTOR_FILE}, if it exists. Use --config for the agent's file.`,
    ),
  data_dir: collectorSettings.shape.data_dir,
  store: collectorSettings.shape.store,
  json: z.boolean().default(false).describe('Print JSON instead of a table.'),
  strict: z.boolean().default(false).describe('Exit with code 1 also when there are warnings.'),
});
const doctorSettings = z.object({ ...agentSettings.shape, ...commandSettings.shape });

export async function run(argv: string[]): Promise<number> {
  const { file: named, rest } = configFlag(argv);
  const { IMDSWATCH_CONFIG: inEnvironment, ...env } = process.env;
  const agentFile = named ?? inEnvironment ?? (existsSync(AGENT_FILE) ? AGENT_FILE : null);
  const configuration = checkedFile(agentFile, (file) =>
    loadSettings(agentSettings, { command: 'agent', summary: '', argv: ['--config', file], env: {} }),
  );
  const usable = configuration.file !== null && configuration.problem === null;
  const { settings } = loadSettings(doctorSettings, {
    command: 'doctor',
    summary: 'Checks what works on this host, and says how to correct the rest.',
    argv: [...rest, ...(usable ? ['--config', configuration.file!] : [])],
    env,
    short: { i: 'interface' },
  });
  const collectorFile = settings.collector_config ?? (existsSync(COLLECTOR_FILE) ? COLLECTOR_FILE : null);
  const hasDataDirFlag = rest.some((argument) => /^--data-dir(=|$)/.test(argument));
  const hasCollector =
    settings.collector_config !== undefined ||
    hasDataDirFlag ||
    settings.store !== undefined ||
    collectorFile !== null ||
    existsSync(settings.data_dir);
  const hasAgent = agentFile !== null || existsSync(settings.spool_dir) || !hasCollector;
  const includes = (part: 'agent' | 'collector', isHere: boolean) =>
    settings.part === 'auto' ? isHere : settings.part === part || settings.part === 'both';

  const agentSide: AgentSide | null = includes('agent', hasAgent)
    ? {
        settings,
        configuration,
        running: runningAgent(settings.spool_dir, settings.heartbeat_seconds),
        capabilities: effectiveCapabilities('self') ?? 0n,
      }
    : null;
  const collectorSide = includes('collector', hasCollector)
    ? collectorOf(collectorFile, hasDataDirFlag ? settings.data_dir : null, settings.store ?? null)
    : null;
  const results = await runChecks(agentSide, collectorSide);
  const verdict = worst(results);
  if (settings.json) {
    const host = agentSide === null ? null : hostIdOf(settings);
    process.stdout.write(
      `${visibleJson({ version: VERSION, host, worst: verdict, findings: results }, 2)}\n`,
    );
  } else {
    const { isTTY = false, columns = 100 } = process.stdout;
    process.stdout.write(doctorTable(results, columns, isTTY && !process.env['NO_COLOR']));
  }
  return verdict === 'fail' || (settings.strict && verdict === 'warn') ? 1 : 0;
}

/**
 * Takes --config out of the arguments: an invalid file must become a finding, not an error of this command.
 */
function configFlag(argv: string[]): { file: string | null; rest: string[] } {
  const rest = [...argv];
  const at = rest.findIndex((argument) => /^--config(=|$)/.test(argument));
  if (at < 0) return { file: null, rest };
  const [flag = ''] = rest.splice(at, 1);
  if (flag.includes('=')) return { file: flag.slice('--config='.length), rest };
  const [file] = rest.splice(at, 1);
  if (file === undefined)
    throw new OperatorError(2, '--config needs a file name: imdswatch doctor --config FILE.');
  return { file, rest };
}

function checkedFile(file: string | null, load: (file: string) => unknown): ConfigurationFile {
  if (file === null) return { file, problem: null };
  try {
    load(file);
    return { file, problem: null };
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    return { file, problem: error.message };
  }
}

function collectorOf(file: string | null, dataDir: string | null, database: string | null): CollectorSide {
  const env = { ...process.env };
  delete env['IMDSWATCH_CONFIG'];
  const load = (argv: string[]) =>
    loadSettings(collectorSettings, { command: 'collector', summary: '', argv, env }).settings;
  const configuration = checkedFile(file, (path) => load(['--config', path]));
  const flags = [
    ...(dataDir === null ? [] : [`--data-dir=${dataDir}`]),
    ...(database === null ? [] : [`--store=${database}`]),
  ];
  const usable = configuration.file !== null && configuration.problem === null;
  return { configuration, settings: load([...flags, ...(usable ? ['--config', configuration.file!] : [])]) };
}

function runningAgent(directory: string, heartbeatSeconds: number): RunningAgent {
  try {
    const pid = spoolHolder(directory);
    const state = readState(directory);
    const ageSeconds =
      state === null ? Number.POSITIVE_INFINITY : (Date.now() - Date.parse(state.heartbeat.time)) / 1_000;
    const isFresh = existsSync(`${directory}/lock`) && ageSeconds < FRESH_HEARTBEATS * heartbeatSeconds;
    return { pid, state, isRunning: pid !== null || isFresh };
  } catch (error) {
    if (isDenied(error)) return { pid: null, state: null, isRunning: 'unknown' };
    if ((error as NodeJS.ErrnoException).code === 'ENOTDIR')
      return { pid: null, state: null, isRunning: false };
    throw new OperatorError(
      1,
      `The spool directory ${directory} cannot be read: ${messageOf(error)}. Correct spool_dir or the permissions.`,
    );
  }
}
