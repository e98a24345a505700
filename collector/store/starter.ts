/**
 * Finds the workload behind a helper program such as `curl`: the nearest parent with an identity of its own, else
 * the cron entry, the unit or the container that started it. Pure.
 *
 * Executables and parents are facts of the kernel. A process can only choose its arguments and thereby its script,
 * so a helper is known by its executable, and everything that is no known helper is its own workload.
 */
import type { Ancestor, ProcessFacts } from '../../protocol/call.ts';
import { CUT_MARK } from '../../protocol/text_bounds.ts';
import {
  CODE_OPTIONS,
  isTrustedPlace,
  programName,
  rootNamed,
  SHELLS,
  type StartedBy,
  WRAPPERS,
} from './helper_programs.ts';

const MAX_ENTRY_CHARACTERS = 300;

export interface Starter {
  executable: string | null;
  script: string | null;
  /** Null for a program with an identity of its own. */
  startedBy: StartedBy | null;
  /** The command of a cron entry or of a supervisor's program. */
  entry: string | null;
  /** The script or executable of the helper that called; null where the caller is the workload itself. */
  helper: string | null;
}

/** One process of the chain. `script` undefined: not known. */
interface Link {
  executable: string | null;
  script: string | null | undefined;
  args: readonly string[] | null;
  isInit: boolean;
}

/** `own`: the link is the workload. `unknown`: it cannot be told. */
type Judgement = 'own' | 'passes' | 'unknown' | StartedBy;

export function starterOf(
  process: ProcessFacts,
  /** `unit` and `container`: the kernel's cgroup and the engine give these a name that lasts. */
  named: { unit: boolean; container: boolean },
  helpers: ReadonlySet<string>,
): Starter {
  const self = selfOf(process);
  const own = {
    executable: self.executable,
    script: process.script,
    startedBy: null,
    entry: null,
    helper: null,
  };
  if (judge(self, helpers) !== 'passes') return own;
  const helper = process.script ?? self.executable;
  const chain = [self, ...process.ancestors.map(linkOf)];
  const behind = (startedBy: StartedBy, entry: string | null = null): Starter => {
    // A session and a starter that is not known name no workload: the helper stays the best name.
    if (startedBy === 'session' || startedBy === 'unknown') return { ...own, startedBy, helper };
    return { executable: null, script: null, startedBy, entry, helper };
  };
  for (let at = 1; at < chain.length; at++) {
    const link = chain[at]!;
    const judgement = judge(link, helpers);
    switch (judgement) {
      case 'passes':
        continue;
      case 'own':
        return { ...own, executable: link.executable, script: link.script ?? null, helper };
      case 'cron':
      case 'supervisor': {
        const entry = commandOf(chain[at - 1]!);
        return entry === null ? behind('unknown') : behind(judgement, entry);
      }
      case 'unit':
      case 'container':
        if (named.container) return behind('container');
        return named.unit ? behind('unit') : behind('unknown');
      default:
        return behind(judgement);
    }
  }
  // The chain ended before a parent that is known: a container's first process has no parent in its namespace.
  return behind(named.container && process.ancestors.length === 0 ? 'container' : 'unknown');
}

function selfOf(process: ProcessFacts): Link {
  const { 'executable.path': executable, command_args: args, script, pid } = process;
  return { executable, script: args === null ? undefined : script, args, isInit: pid === 1 };
}

function linkOf({ 'executable.path': executable, command_args: args, script, pid }: Ancestor): Link {
  return { executable, script, args, isInit: pid === 1 };
}

function judge({ executable, script, args, isInit }: Link, helpers: ReadonlySet<string>): Judgement {
  if (executable === null) return isInit ? 'unit' : 'unknown';
  const program = programName(executable);
  if (!isTrustedPlace(executable)) return 'own';
  if (program === 'busybox' || program === 'toybox') return judgeApplet(script, args, helpers);
  const root = rootNamed(program);
  if (root !== null) return root;
  if (isInit) return 'unit';
  if (helpers.has(program) || WRAPPERS.has(program)) return 'passes';
  const code = CODE_OPTIONS.find((each) => each.program.test(program))?.code;
  const isShell = SHELLS.test(program);
  if (!isShell && code === undefined) return 'own';
  if (script === undefined) return 'unknown';
  if (script !== null) return judgeScript(script, helpers);
  const runsCode =
    isShell || args === null || args.length < 2 || args.slice(1).some((arg) => code!.test(arg));
  return runsCode ? 'passes' : 'own';
}

/** Judges a program that an interpreter runs: `/usr/bin/aws` is a helper, `supervisord` starts others. */
function judgeScript(script: string, helpers: ReadonlySet<string>): Judgement {
  if (!isTrustedPlace(script)) return 'own';
  const name = programName(script);
  if (helpers.has(name)) return 'passes';
  const root = rootNamed(name);
  return root === 'supervisor' ? root : 'own';
}

function judgeApplet(
  script: string | null | undefined,
  args: readonly string[] | null,
  helpers: ReadonlySet<string>,
): Judgement {
  if (args === null)
    return script === undefined || script === null ? 'unknown' : judgeScript(script, helpers);
  const first = programName((args[0] ?? '').replace(/^-/, ''));
  const applet = first === 'busybox' || first === 'toybox' ? (args[1] ?? '') : first;
  if (SHELLS.test(applet)) {
    if (script === undefined) return 'unknown';
    return script === null ? 'passes' : judgeScript(script, helpers);
  }
  if (helpers.has(applet) || WRAPPERS.has(applet)) return 'passes';
  return rootNamed(applet) ?? 'own';
}

/** Returns the command of a process: the code of `sh -c CODE`, else its arguments; null where they are not known. */
function commandOf({ args }: Link): string | null {
  if (args === null || args.length === 0 || args[0] === CUT_MARK) return null;
  const option = args.findIndex((arg, index) => index > 0 && /^-[a-zA-Z]*c$/.test(arg));
  const isShell = SHELLS.test(programName(args[0]!.replace(/^-/, '')));
  const text = isShell && option !== -1 ? (args[option + 1] ?? '') : args.join(' ');
  const command = text.trim().replace(/\s+/g, ' ');
  if (command === '') return null;
  return command.length > MAX_ENTRY_CHARACTERS
    ? `${command.slice(0, MAX_ENTRY_CHARACTERS - 1)}${CUT_MARK}`
    : command;
}
