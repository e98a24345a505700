/**
 * `imdswatch enforce` carries out `HttpTokens=required` from the collector's verdicts, guarded, with a way back. It asks a
 * collector by its API, or reads its files on this machine, and uses AWS with the operator's own credentials.
 */
import * as actions from '../enforce/actions.ts';
import * as inspect from '../enforce/inspect.ts';
import { planSettings } from '../enforce/plan_settings.ts';
import { readSubcommand } from '../settings/subcommand.ts';

const SUMMARIES = {
  plan: 'Makes a plan from the verdicts, and prints it. Changes nothing.',
  show: 'Lists the plans of this machine, or prints one.',
  check: 'Asks every guard about every step now, with dry runs. Changes nothing.',
  apply: 'Carries out a plan, and watches it to the end.',
  status: 'Shows what has become of a plan, and what to do next.',
  pause: 'Stops a plan from going forward. Roll-backs go on.',
  resume: 'Goes on with a plan that was paused or whose process has ended.',
  confirm: 'Counts steps as confirmed now, by your decision, without the rest of their soak.',
  rollback: 'Gives back the values of before the plan. Needs neither collector nor agents.',
  drift: 'Compares what is in force with what plans have confirmed.',
  export: 'Prints a plan for another tool.',
  prevent: 'Prints policies that keep IMDSv1 from coming back.',
  selftest: 'Tries the calls on one instance, and prints a transcript without identifiers.',
};

export async function run(argv: string[]): Promise<number> {
  const { verb, load } = readSubcommand({ command: 'enforce', summaries: SUMMARIES, usage: usage(), argv });
  switch (verb) {
    case 'plan':
      return actions.makeAndSave(load(planSettings));
    case 'show': {
      const { settings, positionals } = load(inspect.localSettings, ['[PLAN]']);
      return inspect.show(positionals[0], settings);
    }
    case 'check': {
      const loaded = load(inspect.cloudSettings, ['PLAN']);
      return inspect.check(loaded.positionals[0]!, loaded);
    }
    case 'apply': {
      const loaded = load(actions.applySettings, ['PLAN']);
      return actions.apply(loaded.positionals[0]!, loaded);
    }
    case 'status': {
      const loaded = load(inspect.statusSettings, ['PLAN']);
      return inspect.status(loaded.positionals[0]!, loaded);
    }
    case 'pause': {
      const { settings, positionals } = load(actions.pauseSettings, ['PLAN']);
      return actions.pause(positionals[0]!, settings);
    }
    case 'resume': {
      const loaded = load(actions.resumeSettings, ['PLAN']);
      return actions.resume(loaded.positionals[0]!, loaded);
    }
    case 'confirm': {
      const { settings, positionals } = load(actions.confirmSettings, ['PLAN', '[STEP...]']);
      const [id, ...steps] = positionals;
      return actions.confirm(id!, steps, settings);
    }
    case 'rollback': {
      const loaded = load(actions.rollbackSettings, ['PLAN', '[STEP...]']);
      const [id, ...steps] = loaded.positionals;
      return actions.rollback(id!, steps, loaded);
    }
    case 'drift': {
      const loaded = load(inspect.driftSettings, ['[PLAN]']);
      return inspect.drift(loaded.positionals[0], loaded);
    }
    case 'export': {
      const { settings, positionals } = load(inspect.exportSettings, ['PLAN']);
      return inspect.printExport(positionals[0]!, settings);
    }
    case 'prevent': {
      const loaded = load(inspect.preventSettings, ['KIND']);
      return inspect.printPrevention(loaded.positionals[0]!, loaded);
    }
    case 'selftest':
      return inspect.runSelftest(load(inspect.selftestSettings).settings);
  }
}

function usage(): string {
  const rows = Object.entries(SUMMARIES).map(([verb, summary]) => `  ${verb.padEnd(9)} ${summary}`);
  return `Requires tokens on instances, guarded, with a way back. It reads the collector's files on this machine, or asks one
elsewhere with --collector. Plans are kept below data_dir on this machine. The usual order: plan, check, apply, status.

Usage: imdswatch enforce SUBCOMMAND [options]

${rows.join('\n')}

"imdswatch enforce SUBCOMMAND --help" lists the options.
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not permitted, 4 a guard refused, 5 rolled back, 6 drift.
`;
}
