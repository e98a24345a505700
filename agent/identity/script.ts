/**
 * Finds the script that an interpreter runs, from its executable and arguments alone. A guess would be worse
 * than nothing: an unknown option counts as one without a value, and code on the command line (`-c`, `-e`) or
 * on standard input is no script.
 */
import { isAbsolute, join, normalize } from 'node:path/posix';
import { programInTitle, titleIn } from './process_title.ts';

interface Interpreter {
  /** Executable names, without a version (`python3.11` is looked up as `python`). */
  names: RegExp;
  /** Options whose value is the next argument. */
  valued: ReadonlySet<string>;
  /**
   * Short options whose value may also be glued to them, and which end a cluster (`-Wignore`, `-uWignore`).
   */
  valuedLetters?: string;
  /**
   * Options after which there is no script: code on the command line, standard input, a listing of versions.
   */
  code: ReadonlySet<string>;
  /** Short options of that kind, which may stand at the end of a cluster (`-xc`, `-lne`). */
  codeLetters?: string;
  /** Options whose value is what runs, by name rather than by path. */
  named?: ReadonlySet<string>;
  /** Options whose value is the script's path. */
  file?: ReadonlySet<string>;
  /**
   * First words that are commands of the tool: `deno run script`. `run` ones are passed over, others are no
   * script.
   */
  commands?: { run: ReadonlySet<string>; other: ReadonlySet<string> };
}

const words = (text: string): ReadonlySet<string> => new Set(text.split(' ').filter(Boolean));

const INTERPRETERS: readonly Interpreter[] = [
  {
    names: /^(python|pypy|jython|micropython)$/,
    valued: words('-W -X --check-hash-based-pycs'),
    valuedLetters: 'WX',
    code: words('-c -V --version -h --help'),
    codeLetters: 'c',
    named: words('-m'),
  },
  {
    names: /^(node|nodejs|iojs)$/,
    valued: words(
      '-r --require --import --loader --experimental-loader -C --conditions --env-file --env-file-if-exists --icu-data-dir --title --openssl-config --redirect-warnings --diagnostic-dir --cpu-prof-dir --heap-prof-dir --inspect-port --debug-port --report-dir --report-directory --report-filename --input-type --experimental-default-type --max-http-header-size --stack-trace-limit --unhandled-rejections --dns-result-order --watch-path --test-name-pattern --test-reporter --test-reporter-destination --trace-event-categories --disable-warning --secure-heap --secure-heap-min --experimental-config-file --localstorage-file',
    ),
    code: words('-e --eval -p --print -pe -v --version -h --help -i --interactive --run'),
  },
  {
    names: /^(deno)$/,
    valued: words('-c --config --import-map -L --log-level --cert --location --seed -r --lock --env-file'),
    code: words('-V --version -h --help'),
    commands: {
      run: words('run serve bench test'),
      other: words('eval repl task install cache fmt lint check compile info lsp upgrade add remove doc'),
    },
  },
  {
    names: /^(bun)$/,
    valued: words(
      '-r --preload -c --config --cwd --env-file --tsconfig-override -d --define -l --loader --port',
    ),
    code: words('-e --eval -p --print -v --version -h --help'),
    commands: {
      run: words('run'),
      other: words('test x install i add remove update link build init create upgrade repl pm'),
    },
  },
  {
    names: /^(ruby|jruby|truffleruby|rbx)$/,
    valued: words('-C -E -I -r --encoding --external-encoding --internal-encoding'),
    valuedLetters: 'CEIrFKTWx',
    code: words('-v --version -h --help'),
    codeLetters: 'e',
  },
  {
    names: /^(perl)$/,
    valued: words('-I'),
    valuedLetters: 'IMmCDFix',
    code: words('-v -V -h'),
    codeLetters: 'eE',
  },
  {
    names: /^(php|php-cgi|php-cli)$/,
    valued: words('-c -d -z --php-ini --define --zend-extension'),
    valuedLetters: 'cdz',
    code: words('-r --run -R --process-code -B -E -S --server -v --version -i --info -m -h --help -a'),
    file: words('-f --file -F --process-file'),
  },
  {
    names: /^(bash|sh|dash|ash|zsh|ksh|mksh|rbash)$/,
    valued: words('-o +o -O +O --rcfile --init-file'),
    code: words('--version --help'),
    codeLetters: 'cs',
  },
];

/** Options of `java` that take the next argument (its `-help`). */
const JAVA_VALUED = words(
  '-cp -classpath --class-path -p --module-path --upgrade-module-path --add-modules --limit-modules --add-reads --add-exports --add-opens --patch-module --enable-native-access --source',
);
const DOTNET_VALUED = words('--additionalprobingpath --depsfile --runtimeconfig --fx-version --roll-forward');

/**
 * The script, module, jar, main class or assembly that a process runs; null for anything that is no
 * interpreter and wherever there is none. Paths are made absolute with the working directory where that is
 * known.
 */
export function scriptOf(
  executable: string | null,
  args: readonly string[] | null,
  workingDirectory: string | null,
): string | null {
  if (args === null) return null;
  const title = titleOf(executable, args);
  if (title !== null) return hasScripts(baseName(executable)) ? programInTitle(title) : null;
  if (args.length < 2) return null;
  const found = findScript(baseName(executable), args);
  if (found === null || found.value === '') return null;
  return found.isPath ? absolute(found.value, workingDirectory) : found.value;
}

/** Returns the title that a process has written over its arguments; null where there is none. */
export function titleOf(executable: string | null, args: readonly string[] | null): string | null {
  return titleIn(executable, baseName(executable), args);
}

/** Tells whether a program is an interpreter, which is one workload for each script that it runs. */
function hasScripts(program: string): boolean {
  return program === 'java' || program === 'dotnet' || INTERPRETERS.some((each) => each.names.test(program));
}

type Found = { value: string; isPath: boolean } | null;

function findScript(executable: string, args: readonly string[]): Found {
  if (executable === 'java') return javaProgram(args);
  if (executable === 'dotnet') return dotnetAssembly(args);
  if (executable === 'busybox') return findScript(...appletOf(args));
  const interpreter = INTERPRETERS.find((each) => each.names.test(executable));
  return interpreter ? scriptFor(interpreter, args) : null;
}

/** Returns the applet that BusyBox runs, with its arguments: by its own name, or as `busybox sh`. */
function appletOf(args: readonly string[]): [applet: string, args: readonly string[]] {
  const applet = (args[0] ?? '').replace(/^-?(.*\/)?/, '');
  const [name, rest] = applet === 'busybox' ? [args[1] ?? '', args.slice(1)] : [applet, args];
  // No applet but the shell runs scripts, and none runs another applet's arguments.
  return /^(sh|ash|hush|bash)$/.test(name) ? ['sh', rest] : ['', rest];
}

function scriptFor(interpreter: Interpreter, args: readonly string[]): Found {
  let commandAllowed = interpreter.commands !== undefined;
  for (let i = 1; i < args.length; i++) {
    const arg = args[i]!;
    if (arg === '--') return pathAt(args, i + 1);
    if (arg === '-') return null;
    if (!isOption(arg)) {
      if (commandAllowed && interpreter.commands!.other.has(arg)) return null;
      if (commandAllowed && interpreter.commands!.run.has(arg)) {
        commandAllowed = false;
        continue;
      }
      return { value: arg, isPath: true };
    }
    if (interpreter.code.has(arg)) return null;
    if (interpreter.named?.has(arg)) return nameAt(args, i + 1);
    if (interpreter.file?.has(arg)) return pathAt(args, i + 1);
    if (interpreter.valued.has(arg)) {
      i++;
      continue;
    }
    if (arg.startsWith('--')) continue;
    const cluster = readCluster(interpreter, arg);
    if (cluster === 'code') return null;
    if (cluster === 'value-follows') i++;
    else if (cluster === 'name-follows') return nameAt(args, i + 1);
    else if (cluster !== 'flags') return { value: cluster.name, isPath: false };
  }
  return null;
}

type Cluster = 'flags' | 'code' | 'value-follows' | 'name-follows' | { name: string };

/** Short options written together: `-Bm module`, `-uWignore`, `-lne code`, `-mhttp.server`. */
function readCluster(interpreter: Interpreter, arg: string): Cluster {
  for (let at = 1; at < arg.length; at++) {
    const letter = arg[at]!;
    if (interpreter.codeLetters?.includes(letter)) return 'code';
    if (interpreter.named?.has(`-${letter}`)) {
      return at + 1 < arg.length ? { name: arg.slice(at + 1) } : 'name-follows';
    }
    if (interpreter.valuedLetters?.includes(letter)) {
      return at + 1 === arg.length && interpreter.valued.has(`-${letter}`) ? 'value-follows' : 'flags';
    }
    // `sh -eo pipefail script`: the cluster's last letter takes the next argument.
    if (at + 1 === arg.length && interpreter.valued.has(`-${letter}`)) return 'value-follows';
  }
  return 'flags';
}

/**
 * https://docs.oracle.com/en/java/javase/21/docs/specs/man/java.html: `-jar file`, `-m module[/class]`, or a
 * class.
 */
function javaProgram(args: readonly string[]): Found {
  for (let i = 1; i < args.length; i++) {
    const arg = args[i]!;
    if (arg === '-jar') return pathAt(args, i + 1);
    if (arg === '-m' || arg === '--module') return nameAt(args, i + 1);
    if (arg.startsWith('--module=')) return { value: arg.slice('--module='.length), isPath: false };
    if (JAVA_VALUED.has(arg)) i++;
    else if (!arg.startsWith('-') && !arg.startsWith('@')) {
      const launched = LAUNCHERS.get(arg)?.(args.slice(i + 1)) ?? null;
      const value = launched === null ? arg : `${arg} ${launched}`;
      return { value, isPath: arg.endsWith('.java') };
    }
  }
  return null;
}

/**
 * Main classes that only start the program that their arguments name. SparkSubmit:
 * https://spark.apache.org/docs/latest/submitting-applications.html (`--class`, else the application's file).
 * RunJar: https://hadoop.apache.org/docs/stable/hadoop-project-dist/hadoop-common/CommandsManual.html (`hadoop jar`).
 */
const LAUNCHERS: ReadonlyMap<string, (args: readonly string[]) => string | null> = new Map([
  ['org.apache.spark.deploy.SparkSubmit', sparkApplication],
  ['org.apache.hadoop.util.RunJar', (args) => args[0] ?? null],
]);

function sparkApplication(args: readonly string[]): string | null {
  const named = args.indexOf('--class');
  if (named !== -1) return args[named + 1] ?? null;
  return args.find((arg) => /^[^-].*\.(jar|py|R)$/.test(arg)) ?? null;
}

/** `dotnet [exec] [options] app.dll`; its other commands (`run`, `build`) start another process. */
function dotnetAssembly(args: readonly string[]): Found {
  for (let i = 1; i < args.length; i++) {
    const arg = args[i]!;
    if (arg === 'exec' && i === 1) continue;
    if (DOTNET_VALUED.has(arg)) i++;
    else if (!arg.startsWith('-')) return /\.(dll|exe)$/i.test(arg) ? { value: arg, isPath: true } : null;
  }
  return null;
}

function isOption(arg: string): boolean {
  return arg.startsWith('-') || /^\+[A-Za-z]+$/.test(arg);
}

function pathAt(args: readonly string[], at: number): Found {
  const value = args[at];
  return value === undefined ? null : { value, isPath: true };
}

function nameAt(args: readonly string[], at: number): Found {
  const value = args[at];
  return value === undefined ? null : { value, isPath: false };
}

/** `/usr/bin/python3.11` → `python`, `ruby2.7` → `ruby`, `node` → `node`, `php8.2-cgi` → `php-cgi`. */
function baseName(executable: string | null): string {
  if (executable === null) return '';
  const name = executable.slice(executable.lastIndexOf('/') + 1);
  return name.replace(/-?\d+(\.\d+)*[a-z]?(?=$|-)/, '').replace(/-(linux|x86_64|aarch64).*$/, '');
}

function absolute(path: string, workingDirectory: string | null): string {
  if (isAbsolute(path) || workingDirectory === null || /^[a-z]+:\/\//.test(path)) return path;
  return normalize(join(workingDirectory, path));
}
