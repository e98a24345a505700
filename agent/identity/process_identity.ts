/** Describes the owner of a socket: makes the `process` object of a call, with every argument masked. */

import { readFileSync } from 'node:fs';
import { deleteOldestEntries } from '../../common/bounded_map.ts';
import type { Ancestor, ProcessFacts } from '../../protocol/call.ts';
import type { Counters } from '../../protocol/records.ts';
import {
  boundAncestors,
  cleanLabel,
  cutArguments,
  cutText,
  MAX_ARGUMENT_CHARACTERS,
  MAX_LABEL_CHARACTERS,
  MAX_PATH_CHARACTERS,
} from '../../protocol/text_bounds.ts';
import type { SocketOwner } from '../attribution/owner.ts';
import { UserNames } from '../linux/passwd.ts';
import { HeldProcess, ProcReader } from '../linux/proc_reader.ts';
import type { ProcessSnapshot } from '../linux/process_snapshot.ts';
import { parseBootTime, startTime } from '../linux/start_time.ts';
import { maskArgs, maskPath, maskText } from '../secrets/mask.ts';
import { maskProgramName } from '../secrets/mask_program_name.ts';
import { ParentNumbers } from './parent_numbers.ts';
import { scriptOf, titleOf } from './script.ts';

/** Some 5 kB each. They serve callers that call again within seconds; one-shot callers only pass through. */
const MAX_DESCRIPTIONS = 256;
const MAX_ANCESTORS = 1024;
/** Marks the end of an argument that is known in part. No argument contains a NUL. */
const CUT = '\0';
/** Processes whose script is remembered for the time after they have written a title over it. */
const MAX_SCRIPTS = 1024;
/** /proc gave at most 32 KiB of arguments: that many and fewer characters may be a part of them. */
const MAYBE_CUT_CHARACTERS = 8_000;
/**
 * Time that a description is used again, in milliseconds. Its sources are compared each time (pid, start
 * time, executable, arguments, parents). So this bounds only the age of the rest: a working directory, a
 * renamed user, an ancestor that has replaced itself by another program of the same name.
 */
const DESCRIPTION_TTL_MS = 10_000;
/**
 * The eBPF program asks to have a parent read once within 4 s (PARENT_WAKE_UP_NS of bpf/imds_connect.bpf.c): what is
 * read then must be usable until the next time.
 */
const PREPARED_MS = 5_000;
/** The same time where arguments and parents were not given with the owner but read from /proc. */
const READ_DESCRIPTION_TTL_MS = 1000;

export interface ProcessIdentityOptions {
  procRoot?: string;
  passwdPath?: string;
  /** Milliseconds of a clock that only goes forward. */
  now?: () => number;
}

interface Description {
  facts: ProcessFacts;
  madeAtMs: number;
}

export class ProcessIdentity {
  readonly #procRoot: string;
  readonly #now: () => number;
  readonly #bootTimeSeconds: number;
  readonly #users: UserNames;
  readonly #processes: ProcReader;
  /** Least recently used first. */
  readonly #descriptions = new Map<string, Description>();
  /** Owners of long-lived callers come as the same object each time. */
  readonly #keys = new WeakMap<SocketOwner, string>();
  readonly #parents = new ParentNumbers();
  readonly #ancestors = new Map<string, { ancestor: Ancestor; madeAtMs: number }>();
  readonly #families = new WeakMap<readonly ProcessSnapshot[], { ancestors: Ancestor[]; madeAtMs: number }>();
  /** Scripts by process and executable, so that a title does not make another workload of the same process. */
  readonly #scripts = new Map<string, string>();
  #described = 0;
  #prepared = 0;
  #remembered = 0;
  #argsGone = 0;
  #argsCompleted = 0;
  #workingDirectoryGone = 0;
  #ancestorArgsGone = 0;

  /** @throws Error when /proc/stat has no boot time: start times could not be given. */
  constructor(options: ProcessIdentityOptions = {}) {
    this.#procRoot = options.procRoot ?? '/proc';
    this.#now = options.now ?? (() => performance.now());
    const bootTime = parseBootTime(readFileSync(`${this.#procRoot}/stat`, 'latin1'));
    if (bootTime === null) throw new Error(`${this.#procRoot}/stat has no line "btime".`);
    this.#bootTimeSeconds = bootTime;
    this.#users = new UserNames(options.passwdPath ?? '/etc/passwd', this.#now);
    this.#processes = new ProcReader({ procRoot: this.#procRoot, now: this.#now });
  }

  /**
   * Reads what only /proc has about a process and its parents, for a `describe` within `PREPARED_MS`: the process may
   * have ended by then.
   */
  prepare(owner: SocketOwner): void {
    this.#prepared++;
    this.#describe(owner, PREPARED_MS);
  }

  describe(owner: SocketOwner): ProcessFacts {
    this.#described++;
    return this.#describe(owner, 0);
  }

  /** Returns a description that may still be used again after `usableMs`. */
  #describe(owner: SocketOwner, usableMs: number): ProcessFacts {
    const now = this.#now();
    let key = this.#keys.get(owner);
    if (key === undefined) {
      key = keyOf(owner, this.#parents);
      this.#keys.set(owner, key);
    }
    const known = this.#descriptions.get(key);
    const ttl =
      owner.args === null || owner.ancestors === null ? READ_DESCRIPTION_TTL_MS : DESCRIPTION_TTL_MS;
    if (known && now - known.madeAtMs + usableMs < ttl) {
      if (usableMs === 0) this.#remembered++;
      this.#descriptions.delete(key);
      this.#descriptions.set(key, known);
      return known.facts;
    }
    const facts = this.#describeAnew(owner, now, usableMs);
    this.#descriptions.delete(key);
    this.#descriptions.set(key, { facts, madeAtMs: now });
    deleteOldestEntries(this.#descriptions, MAX_DESCRIPTIONS);
    return facts;
  }

  #describeAnew(owner: SocketOwner, now: number, usableMs: number): ProcessFacts {
    const { args, wholeArgs, workingDirectory, parentPid } = this.#complete(owner);
    if (args === null) this.#argsGone++;
    if (workingDirectory === null) this.#workingDirectoryGone++;
    const parents =
      owner.ancestors ?? (parentPid === null ? [] : this.#processes.ancestors(parentPid, owner.startTicks));
    const title = titleOf(owner.executable, wholeArgs ?? args);
    const known = wholeArgs ?? (title === null ? aroundCut(args, owner.argsAfterCut ?? null) : args);
    const script = this.#scriptOf(owner, known, workingDirectory);
    const shown = {
      'executable.path': maskedPath(owner.executable),
      command_args: args && maskArgs(args, owner.argsTruncated),
      working_directory: maskedPath(workingDirectory),
    };
    return withinBounds({
      pid: owner.pid,
      start_time: startTime(owner.startTicks, this.#bootTimeSeconds),
      name: maskProgramName(
        owner.name,
        [owner.executable, workingDirectory, ...(args ?? [])],
        [shown['executable.path'], shown.working_directory, ...(shown.command_args ?? [])],
      ),
      ...shown,
      'owner.uid': owner.uid,
      'owner.name': this.#users.nameOf(owner.uid),
      script: maskedScript(script),
      ...(title !== null && { title: maskText(title) }),
      ancestors: this.#ancestorsOf(parents, now, usableMs),
    });
  }

  /**
   * Returns the script of a process. A process that has written a title keeps the script by which it was known
   * before.
   */
  #scriptOf(
    process: Pick<ProcessSnapshot, 'pid' | 'startTicks' | 'executable'>,
    args: readonly string[] | null,
    workingDirectory: string | null,
  ): string | null {
    const { pid, startTicks, executable } = process;
    const key = `${pid} ${startTicks} ${executable}`;
    const script = scriptOf(executable, args, workingDirectory);
    if (script === null || script.includes(CUT)) return null;
    const known = this.#scripts.get(key);
    if (titleOf(executable, args) !== null) return known ?? script;
    if (known !== script) {
      this.#scripts.delete(key);
      this.#scripts.set(key, script);
      deleteOldestEntries(this.#scripts, MAX_SCRIPTS);
    }
    return script;
  }

  /**
   * Reads from /proc what the owner's record does not have, if its process still exists. `wholeArgs` is null
   * where the arguments are known in part only.
   */
  #complete(owner: SocketOwner): {
    args: string[] | null;
    wholeArgs: string[] | null;
    workingDirectory: string | null;
    parentPid: number | null;
  } {
    const given = {
      args: owner.args,
      wholeArgs: owner.argsTruncated ? null : owner.args,
      workingDirectory: owner.workingDirectory ?? null,
      parentPid: null,
    };
    const isWhole = given.wholeArgs !== null && owner.workingDirectory !== undefined;
    if (isWhole && owner.ancestors !== null) return given;
    const held = HeldProcess.hold(this.#procRoot, owner.pid);
    const stat = held?.stat() ?? null;
    // Another start time is another process. The arguments of another executable than the recorded one are
    // not the owner's.
    if (!held || stat?.startTicks !== owner.startTicks) {
      held?.close();
      return given;
    }
    const needsArgs = given.wholeArgs === null;
    const sameProgram = !needsArgs || held.executable() === owner.executable;
    const read = needsArgs && sameProgram ? held.args() : null;
    const wholeArgs = given.wholeArgs ?? (read !== null && mayBeCut(read) ? held.wholeArgs() : read);
    if (owner.argsTruncated && wholeArgs !== null) this.#argsCompleted++;
    const complete = {
      args: owner.args ?? read,
      wholeArgs,
      workingDirectory:
        owner.workingDirectory !== undefined ? owner.workingDirectory : held.workingDirectory(),
      parentPid: stat.parentPid,
    };
    held.close();
    return complete;
  }

  /** Children of one process often come with the same list of parents. */
  #ancestorsOf(parents: readonly ProcessSnapshot[], now: number, usableMs: number): Ancestor[] {
    const known = this.#families.get(parents);
    if (known && now - known.madeAtMs + usableMs < DESCRIPTION_TTL_MS) return known.ancestors;
    const made = parents.map((parent) => this.#ancestor(parent, now, usableMs));
    const ancestors = made.map(({ ancestor }) => ancestor);
    this.#families.set(parents, {
      ancestors,
      madeAtMs: Math.min(now, ...made.map(({ madeAtMs }) => madeAtMs)),
    });
    return ancestors;
  }

  #ancestor(
    parent: ProcessSnapshot,
    now: number,
    usableMs: number,
  ): { ancestor: Ancestor; madeAtMs: number } {
    const given = parent.args ?? null;
    const key = `${parent.pid} ${parent.startTicks} ${parent.name}\0${parent.executable}\0${given?.join('\0')}`;
    const known = this.#ancestors.get(key);
    if (known && now - known.madeAtMs + usableMs < DESCRIPTION_TTL_MS) return known;
    const args = given ?? this.#argsOfParent(parent);
    const script = args === null ? undefined : this.#scriptOfParent(parent, args);
    const shown = {
      'executable.path': maskedPath(parent.executable),
      command_args: args && maskArgs(args),
    };
    const name = maskProgramName(
      parent.name,
      [parent.executable, ...(args ?? [])],
      [shown['executable.path'], ...(shown.command_args ?? [])],
    );
    const ancestor: Ancestor = {
      pid: parent.pid,
      name: cleanLabel(name, MAX_LABEL_CHARACTERS),
      'executable.path': pathWithinBounds(shown['executable.path']),
      command_args: shown.command_args && cutEach(shown.command_args),
      ...(script !== undefined && { script: pathWithinBounds(maskedScript(script)) }),
    };
    this.#ancestors.delete(key);
    const made = { ancestor, madeAtMs: now };
    this.#ancestors.set(key, made);
    deleteOldestEntries(this.#ancestors, MAX_ANCESTORS);
    return made;
  }

  /** Returns the arguments of exactly the recorded process, and only while it runs the same program. */
  #argsOfParent(parent: ProcessSnapshot): string[] | null {
    const record = this.#processes.readExactly(parent.pid, parent.startTicks);
    const same = record !== null && (parent.executable === null || record.executable === parent.executable);
    if (!same) this.#ancestorArgsGone++;
    return same ? record.args : null;
  }

  /**
   * Returns the script of a parent, undefined if its arguments are known in part only. Its working directory
   * may have changed since it started, so a shell's script is read from the descriptor by which the shell reads
   * it.
   */
  #scriptOfParent(parent: ProcessSnapshot, args: string[]): string | null | undefined {
    const { pid, startTicks, executable } = parent;
    const isCut = mayBeCut(args);
    const script = isCut ? null : this.#scriptOf(parent, args, null);
    if (!isCut && (script === null || !isRelativePath(script))) return script;
    const held = HeldProcess.hold(this.#procRoot, pid);
    if (!held || held.stat()?.startTicks !== startTicks || held.executable() !== executable) {
      held?.close();
      return isCut ? undefined : script;
    }
    const whole = isCut ? held.wholeArgs() : args;
    const opened = script === null ? null : held.openedScript(script);
    const found = opened ?? (whole && this.#scriptOf(parent, whole, held.workingDirectory()));
    held.close();
    return whole === null ? undefined : found;
  }

  counters(): Counters {
    return {
      described: this.#described,
      prepared: this.#prepared,
      remembered: this.#remembered,
      args_gone: this.#argsGone,
      args_completed: this.#argsCompleted,
      working_directory_gone: this.#workingDirectoryGone,
      ancestor_args_gone: this.#ancestorArgsGone,
      ...this.#users.counters(),
      ...this.#processes.counters(),
    };
  }
}

/** Tells whether arguments that were read from /proc may be the first part of longer ones. */
function mayBeCut(args: readonly string[]): boolean {
  return args.reduce((sum, arg) => sum + arg.length + 1, 0) > MAYBE_CUT_CHARACTERS;
}

/**
 * Leaves out the last argument of a cut list: it may be the beginning of another name. If those behind it are
 * known, it stays with a mark, so that it is passed over as the option or the value that it is.
 */
function aroundCut(args: string[] | null, after: string[] | null): string[] | null {
  if (args === null) return null;
  const before = args.slice(0, -1);
  return after === null ? before : [...before, `${args.at(-1)}${CUT}`, ...after];
}

function isRelativePath(script: string): boolean {
  return !script.startsWith('/') && /[./]/.test(script);
}

function maskedScript(script: string | null): string | null {
  return script === null ? null : maskText(maskPath(script));
}

function maskedPath(path: string | null): string | null {
  return path === null ? null : maskPath(path);
}

/**
 * All that came with the owner, so that an exec() in the same pid, or a parent's, is never given an old
 * description.
 */
function keyOf(owner: SocketOwner, parents: ParentNumbers): string {
  const { pid, startTicks, uid, name, executable, args, argsAfterCut, workingDirectory, ancestors } = owner;
  const key = [pid, startTicks, uid, ancestors === null ? '-' : parents.numberOf(ancestors)];
  const texts = [
    name,
    String(executable),
    String(workingDirectory),
    args === null ? '-' : `+${args.join('\0')}`,
  ];
  if (argsAfterCut != null) texts.push(`${CUT}${argsAfterCut.join('\0')}`);
  // A template makes a tree of its parts, which the table would keep.
  return [...key, ...texts].join('\0');
}

/** Cuts every text to the bounds of the contract, so that the collector has nothing left to cut. */
function withinBounds(facts: ProcessFacts): ProcessFacts {
  const user = facts['owner.name'];
  return {
    ...facts,
    name: cleanLabel(facts.name, MAX_LABEL_CHARACTERS),
    'executable.path': pathWithinBounds(facts['executable.path']),
    command_args: facts.command_args && cutEach(facts.command_args),
    working_directory: pathWithinBounds(facts.working_directory),
    'owner.name': user && cleanLabel(user, MAX_LABEL_CHARACTERS),
    script: pathWithinBounds(facts.script),
    ancestors: boundAncestors(facts.ancestors),
  };
}

function pathWithinBounds(path: string | null): string | null {
  return path === null ? null : cutText(path, MAX_PATH_CHARACTERS);
}

function cutEach(args: string[]): string[] {
  return cutArguments(args.map((arg) => cutText(arg, MAX_ARGUMENT_CHARACTERS)));
}
