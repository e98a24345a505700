/** Finds the real programs that call on this machine, and installs the two AWS SDKs from the npm registry. */
import { execFile } from 'node:child_process';
import {
  accessSync,
  constants,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmSync,
} from 'node:fs';
import { delimiter, join } from 'node:path';
import { promisify } from 'node:util';
import { OperatorError } from '../common/operator_error.ts';

const execFileAsync = promisify(execFile);
export const CLIENTS_DIR = join(import.meta.dirname, 'clients');
/** Directory for an installed package to write to. Its own directory belongs to the package manager. */
const PACKAGED_SDKS_DIR = '/var/cache/imdswatch/demo';
const SDK_FILES = ['package.json', 'package-lock.json', 'aws_sdk_v2.cjs', 'aws_sdk_v3.cjs'];

/** Directory of the SDKs and of the programs that load them. In a checkout it is beside the other clients. */
export const SDKS_DIR = existsSync(join(import.meta.dirname, '../package-lock.json'))
  ? CLIENTS_DIR
  : PACKAGED_SDKS_DIR;
const INSTALL_TIMEOUT_MS = 180_000;

/** Packages by program, for the message to the operator: Debian's name, then Amazon Linux's. */
const PACKAGES = {
  ip: 'iproute2 (iproute on Amazon Linux)',
  curl: 'curl',
  wget: 'wget',
  python3: 'python3',
  bash: 'bash',
  nsenter: 'util-linux',
} as const;

export interface Programs {
  /** Paths as in /proc/PID/exe: no symbolic links and no wrapper scripts. */
  curl: string;
  wget: string;
  bash: string;
  python3: string;
  node: string;
  /** A C compiler, or null. */
  cc: string | null;
}

function onPath(name: string): string | null {
  for (const directory of (process.env['PATH'] ?? '/usr/sbin:/usr/bin:/sbin:/bin').split(delimiter)) {
    const candidate = join(directory, name);
    try {
      accessSync(candidate, constants.X_OK);
      return candidate;
    } catch {
      // The next directory of PATH may have it.
    }
  }
  return null;
}

/** Throws OperatorError(3) that names every missing program and the package to install. */
export async function findPrograms(): Promise<Programs> {
  const found = new Map(Object.keys(PACKAGES).map((name) => [name, onPath(name)]));
  const missing = Object.entries(PACKAGES).filter(([name]) => found.get(name) === null);
  if (missing.length > 0) {
    const list = missing.map(([name, packages]) => `  ${name}: install the package ${packages}`).join('\n');
    throw new OperatorError(3, `The lab needs programs that are missing here:\n${list}`);
  }
  const real = (name: keyof typeof PACKAGES) => realpathSync(found.get(name) as string);
  // `python3` may be the wrapper script of a version manager, so the interpreter is asked for its own path.
  const ask = 'import os, sys; print(os.path.realpath(sys.executable))';
  const { stdout } = await execFileAsync(found.get('python3') as string, ['-c', ask]);
  return {
    curl: real('curl'),
    wget: real('wget'),
    bash: real('bash'),
    python3: stdout.trim(),
    node: realpathSync(process.execPath),
    cc: onPath('cc'),
  };
}

/** Builds the one-shot C caller into `directory`, static where the machine can; null without a compiler. */
export function buildOneShot(programs: Programs, directory: string): Promise<string | null> {
  return buildClient(programs, 'one_shot', directory);
}

/** Builds `lab/clients/NAME.c` into `directory`, static where the machine can; null without a compiler. */
export async function buildClient(
  programs: Pick<Programs, 'cc'>,
  name: 'one_shot' | 'fetch',
  directory: string,
): Promise<string | null> {
  if (programs.cc === null) return null;
  const source = join(CLIENTS_DIR, `${name}.c`);
  const program = join(directory, name);
  try {
    await execFileAsync(programs.cc, ['-O1', '-static', '-o', program, source]);
  } catch {
    // The compiler has no static C library (Amazon Linux has it in a package of its own).
    await execFileAsync(programs.cc, ['-O1', '-o', program, source]);
  }
  return program;
}

/**
 * Installs the SDKs by `npm ci` into `SDKS_DIR`, once. Two labs that do so at the same time do not disturb
 * each other: each installs apart, and the first to finish moves its copy into place.
 */
export async function installSdks(progress: (line: string) => void): Promise<void> {
  if (sdksInstalled()) return;
  progress('installing two AWS SDKs from the npm registry (once)');
  const npm = onPath('npm');
  if (npm === null) {
    throw new OperatorError(3, 'The program `npm` is missing: install Node.js with npm, or put npm on PATH.');
  }
  let apart: string | null = null;
  try {
    mkdirSync(SDKS_DIR, { recursive: true });
    if (SDKS_DIR !== CLIENTS_DIR) {
      for (const file of SDK_FILES) cpSync(join(CLIENTS_DIR, file), join(SDKS_DIR, file));
    }
    apart = mkdtempSync(join(SDKS_DIR, '.install-'));
    for (const file of ['package.json', 'package-lock.json'])
      cpSync(join(CLIENTS_DIR, file), join(apart, file));
    await execFileAsync(npm, ['ci', '--ignore-scripts', '--no-audit', '--no-fund'], {
      cwd: apart,
      timeout: INSTALL_TIMEOUT_MS,
    });
    const target = join(SDKS_DIR, 'node_modules');
    if (!sdksInstalled()) {
      rmSync(target, { recursive: true, force: true });
      renameSync(join(apart, 'node_modules'), target);
    }
  } catch (error) {
    if (sdksInstalled()) return;
    const words = (error as { stderr?: string }).stderr?.trim() || (error as Error).message;
    throw new OperatorError(1, `The AWS SDKs for the lab could not be installed in ${SDKS_DIR}: ${words}`);
  } finally {
    if (apart !== null) rmSync(apart, { recursive: true, force: true });
  }
}

function sdksInstalled(): boolean {
  const manifest = (path: string) => JSON.parse(readFileSync(path, 'utf8'));
  try {
    const wanted: Record<string, string> = manifest(join(CLIENTS_DIR, 'package.json')).dependencies;
    return Object.entries(wanted).every(
      ([name, version]) => manifest(join(SDKS_DIR, 'node_modules', name, 'package.json')).version === version,
    );
  } catch {
    return false;
  }
}
