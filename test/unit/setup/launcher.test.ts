import assert from 'node:assert/strict';
import { existsSync, mkdirSync, readFileSync, rmSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, test } from 'node:test';
import { FakeMachine, PINNED_VERSION } from '../../support/setup/fake_machine.ts';

const skip =
  process.platform !== 'linux' || process.arch !== 'x64' ? 'the fakes stand in for Linux on x86_64' : false;

describe('bin/imdswatch', { skip }, () => {
  test('a first start sets up, says so on standard error, and leaves standard output to the command', async () => {
    using machine = new FakeMachine();
    const { code, stdout, stderr } = await machine.launch(['watch', '--json']);
    assert.equal(code, 0, stderr);
    assert.deepEqual(JSON.parse(stdout).args, ['watch', '--json']);
    assert.deepEqual(JSON.parse(stdout).execArgv, ['--disable-warning=ExperimentalWarning']);
    assert.match(stderr, new RegExp(`Node ${PINNED_VERSION.replaceAll('.', '\\.')} \\.\\.\\. \\d+ s`));
    assert.match(stderr, /packages \(npm ci\) \.\.\. \d+ s/);
    assert.match(stderr, /set up in \d+ s/);
    assert.ok(!existsSync(join(machine.checkout, '.runtime/node/include/node/openssl')));
    assert.ok(existsSync(join(machine.checkout, '.runtime/node/include/node/node.h')));
    const npm = machine.calls().filter((line) => line.startsWith('npm'));
    assert.equal(npm.length, 2);
    assert.match(npm[0] ?? '', /^npm ci --prefix .*\/\.runtime\/node\.new\/npm --ignore-scripts/);
    assert.match(npm[1] ?? '', /^npm ci --include=dev/);
  });

  test('native modules are built with the pinned Node first in PATH and its headers', async () => {
    using machine = new FakeMachine();
    await machine.launch();
    const seen = join(machine.dir, 'seen');
    machine.fake(
      'npm',
      `printf '%s\\n' "$PATH" "$npm_config_nodedir" "$npm_package_config_node_gyp_nodedir" >"${seen}"
       readlink -f "$npm_config_nodedir" >>"${seen}"; exit 1`,
    );
    rmSync(join(machine.checkout, 'node_modules'), { recursive: true });
    assert.equal((await machine.launch()).code, 1);
    const node = join(machine.checkout, '.runtime/node');
    const [path = '', nodedir = '', sameNodedir, real] = readFileSync(seen, 'utf8').trim().split('\n');
    assert.ok(path.startsWith(`${node}/bin:`), path);
    assert.doesNotMatch(nodedir, /\s/, 'node-gyp cannot cope with the space in this checkout');
    assert.equal(sameNodedir, nodedir);
    assert.equal(real, node);
    assert.ok(!existsSync(nodedir), 'a name that was made for the build is gone after it');
  });

  test('a second start installs nothing and says nothing', async () => {
    using machine = new FakeMachine();
    await machine.launch();
    machine.calls();
    const { code, stderr } = await machine.launch();
    assert.equal(code, 0);
    assert.equal(stderr, '');
    assert.deepEqual(machine.calls(), []);
  });

  for (const shell of ['dash', 'bash']) {
    const path = ['/bin', '/usr/bin'].map((dir) => join(dir, shell)).find((file) => existsSync(file));
    test(`arguments, working directory and exit code pass through unchanged under ${shell}`, {
      skip: path === undefined ? `${shell} is not installed` : false,
    }, async () => {
      using machine = new FakeMachine();
      const launcher = join(machine.checkout, 'bin/imdswatch');
      const args = ['', 'a b', "it's", '"', '$HOME', '*', '-n', 'two\nlines', '\\', '--'];
      const run = await machine.start([path ?? '', launcher, ...args], { cwd: '/' });
      assert.deepEqual(JSON.parse(run.stdout).args, args);
      assert.equal(JSON.parse(run.stdout).cwd, '/');
      assert.equal((await machine.start([path ?? '', launcher, '--exit', '2'])).code, 2);
    });
  }

  test('it may be called through a chain of symbolic links, and by its bare name', async () => {
    using machine = new FakeMachine();
    const links = join(machine.dir, 'links');
    mkdirSync(links);
    symlinkSync('../check out/bin/imdswatch', join(links, 'inner'));
    symlinkSync(join(links, 'inner'), join(links, 'imdswatch'));
    const linked = await machine.start([join(links, 'imdswatch'), 'x'], { cwd: '/' });
    assert.deepEqual(JSON.parse(linked.stdout).args, ['x'], linked.stderr);
    const bare = await machine.start(['sh', 'imdswatch', 'y'], { cwd: join(machine.checkout, 'bin') });
    assert.deepEqual(JSON.parse(bare.stdout).args, ['y'], bare.stderr);
  });

  test('a changed package-lock.json is installed at the next start', async () => {
    using machine = new FakeMachine();
    await machine.launch();
    machine.calls();
    machine.lock('1.0.1');
    assert.equal((await machine.launch()).code, 0);
    assert.deepEqual(
      machine.calls().filter((line) => line.startsWith('npm ci')).length,
      1,
      'the packages and not the runtime',
    );
  });

  test('packages that are already right are kept, and looked at again when cap was rebuilt', async () => {
    using machine = new FakeMachine();
    await machine.launch();
    rmSync(join(machine.checkout, 'node_modules/.imdswatch-set-up'));
    machine.calls();
    assert.equal((await machine.launch()).code, 0);
    assert.deepEqual(
      machine.calls().filter((line) => line.startsWith('npm')),
      [],
    );

    const later = Date.now() / 1000 + 60;
    writeFileSync(join(machine.checkout, 'node_modules/cap/main.cjs'), 'throw new Error("wrong ABI")');
    utimesSync(join(machine.checkout, 'node_modules/cap/build/Release/cap.node'), later, later);
    const { code, stderr } = await machine.launch();
    assert.equal(code, 1);
    assert.match(stderr, /built anew for this Node/);
    assert.match(stderr, /cap does not load into Node v\d+.*wrong ABI/);
    assert.ok(machine.calls().some((line) => line.startsWith('npm rebuild cap koffi')));
  });

  test('a cap that was built without our header is built again', async () => {
    using machine = new FakeMachine();
    await machine.launch();
    const addOn = join(machine.checkout, 'node_modules/cap/build/Release/cap.node');
    const later = Date.now() / 1000 + 60;
    writeFileSync(addOn, 'as npm alone builds it');
    utimesSync(addOn, later, later);
    machine.calls();
    const { code, stderr } = await machine.launch();
    assert.equal(code, 1, 'the rebuild of this machine of fakes changes nothing');
    assert.match(stderr, /cap was built without imdswatch-cap-build/);
    assert.ok(machine.calls().some((line) => line.startsWith('npm rebuild cap koffi')));
  });

  test('two first starts at once: one sets up, the other waits for it', async () => {
    using machine = new FakeMachine();
    const env = { FAKE_CI_SECONDS: '1' };
    const ends = await Promise.all([machine.launch(['a'], { env }), machine.launch(['b'], { env })]);
    assert.deepEqual(
      ends.map(({ code }) => code),
      [0, 0],
    );
    assert.equal(
      machine.calls().filter((line) => line.startsWith('npm ci')).length,
      2,
      'runtime and packages, once each',
    );
    assert.equal(ends.filter(({ stderr }) => stderr.includes('waiting for it')).length, 1);
  });

  test('a set-up that was cut off is taken up again', async () => {
    using machine = new FakeMachine();
    mkdirSync(join(machine.checkout, '.runtime/node.new/npm'), { recursive: true });
    mkdirSync(join(machine.checkout, 'node_modules/cap'), { recursive: true });
    const { code, stderr } = await machine.launch();
    assert.equal(code, 0, stderr);
    assert.ok(!existsSync(join(machine.checkout, '.runtime/node.new')));
  });

  test('a Node of the machine that is not older, with its headers, is copied and not fetched', async () => {
    using machine = new FakeMachine();
    const prefix = join(machine.dir, 'own');
    mkdirSync(join(prefix, 'bin'), { recursive: true });
    mkdirSync(join(prefix, 'include/node'), { recursive: true });
    writeFileSync(
      join(prefix, 'bin/node'),
      `#!/bin/sh\n[ "$1" != --version ] || { echo v${PINNED_VERSION}; exit; }\nexec '${process.execPath}' "$@"\n`,
      { mode: 0o755 },
    );
    writeFileSync(join(prefix, 'include/node/node.h'), '');
    machine.fake('node', `case $1 in --version) echo v${PINNED_VERSION} ;; -e) echo '${prefix}' ;; esac`);
    const { code, stderr } = await machine.launch();
    assert.equal(code, 0, stderr);
    assert.match(stderr, /of this machine, copied/);
    assert.ok(existsSync(join(machine.checkout, '.runtime/node/include/node/node.h')));
    assert.equal(machine.calls().filter((line) => line.startsWith('npm')).length, 1);
  });

  test('the compile cache goes beside the runtime, unless one was chosen', async () => {
    using machine = new FakeMachine();
    const first = await machine.launch();
    assert.equal(JSON.parse(first.stdout).cache, join(machine.checkout, '.runtime/compile-cache'));
    const chosen = await machine.launch([], { env: { NODE_COMPILE_CACHE: join(machine.dir, 'mine') } });
    assert.equal(JSON.parse(chosen.stdout).cache, join(machine.dir, 'mine'));
  });

  test('the page is built at the first start, and again when its sources changed or it is gone', async () => {
    using machine = new FakeMachine();
    const built = machine.layPage(
      'mkdirSync(dist, { recursive: true }); writeFileSync(join(dist, "index.html"), "");',
    );
    assert.match((await machine.launch()).stderr, /the collector's page \.\.\. \d+ s/);
    assert.equal(built(), 1);
    assert.equal((await machine.launch()).stderr, '');
    assert.equal(built(), 1);
    machine.write('web/src/screens/overview.tsx', 'changed');
    assert.equal((await machine.launch()).code, 0);
    assert.equal(built(), 2);
    rmSync(join(machine.checkout, 'web/dist'), { recursive: true });
    assert.equal((await machine.launch()).code, 0);
    assert.equal(built(), 3);
  });

  test('a page that cannot be built is reported once, and the start goes on', async () => {
    using machine = new FakeMachine();
    const built = machine.layPage('throw new Error("broken page");');
    const first = await machine.launch();
    assert.equal(first.code, 0);
    assert.match(first.stderr, /the page could not be built[\s\S]*npm run build/);
    assert.equal((await machine.launch()).stderr, '');
    assert.equal(built(), 1);
  });

  test('an entry that cannot warm the compile cache does not prevent the start', async () => {
    using machine = new FakeMachine();
    machine.write(
      'cli/main.ts',
      `if (process.argv[2] === '--warm-compile-cache') throw new Error('no'); console.log('ran');`,
    );
    const { code, stdout, stderr } = await machine.launch();
    assert.deepEqual([code, stdout], [0, 'ran\n']);
    assert.match(stderr, /the compile cache is not warm/);
  });
});

describe('bin/imdswatch where a step is not its to do', { skip }, () => {
  interface Refusal {
    name: string;
    arrange: (machine: FakeMachine) => void;
    env?: Record<string, string>;
    says: RegExp[];
  }
  const refusals: Refusal[] = [
    {
      name: 'npm is missing',
      arrange: (machine) => machine.without('npm'),
      says: [/npm is missing/, /Install Node\.js 20 or newer with npm/],
    },
    {
      name: 'the Node of the machine is too old for npm',
      arrange: (machine) => machine.fake('node', 'echo v18.20.4'),
      says: [/Node is v18\.20\.4/, /needs 20 or newer/],
    },
    {
      name: 'another kernel',
      arrange: (machine) => machine.fake('uname', 'case $1 in -m) echo x86_64 ;; *) echo Darwin ;; esac'),
      says: [/runs on Linux, this is Darwin/],
    },
    {
      name: 'another architecture',
      arrange: (machine) => machine.fake('uname', 'case $1 in -m) echo riscv64 ;; *) echo Linux ;; esac'),
      says: [/no pinned Node for the architecture riscv64/, /x86_64, aarch64/],
    },
    {
      name: 'no compiler, not root, Debian',
      arrange: (machine) => {
        machine.fake('id', 'echo 1000');
        machine.without('g++', 'make');
      },
      says: [
        /only root may install/,
        /sudo apt-get install -y .*make.*g\+\+/,
        /sudo .*bin\/imdswatch --version/,
      ],
    },
    {
      name: 'no compiler, not root, Amazon Linux',
      arrange: (machine) => {
        machine.fake('id', 'echo 1000');
        machine.without('g++', 'apt-get', 'dpkg');
        machine.fake('dnf', 'exit 1');
      },
      says: [/sudo dnf install -y gcc-c\+\+/],
    },
    {
      name: 'no compiler and no known package manager',
      arrange: (machine) => machine.without('make', 'apt-get', 'dpkg'),
      says: [
        /neither apt-get nor dnf/,
        /libpcap-dev libbpf1 make g\+\+ python3/,
        /libpcap-devel libbpf make gcc-c\+\+/,
      ],
    },
    {
      name: 'no libbpf, not root',
      arrange: (machine) => machine.fake('id', 'echo 1000'),
      env: { FAKE_NO_LIBBPF: '1' },
      says: [/libbpf 1\.x/, /sudo apt-get install -y libbpf1/],
    },
    {
      name: 'the checkout cannot be written',
      // A file where the directory has to go: also root, as whom this test may run, cannot write there.
      arrange: (machine) => machine.write('.runtime', ''),
      says: [/may not write to .*check out/, /sudo .*bin\/imdswatch --version/],
    },
    {
      name: 'no flock',
      arrange: (machine) => machine.without('flock'),
      says: [/flock is missing/, /util-linux/],
    },
  ];
  for (const { name, arrange, env, says } of refusals) {
    test(`${name}: exit code 3, what is missing and what to do`, async () => {
      using machine = new FakeMachine();
      arrange(machine);
      const { code, stdout, stderr } = await machine.launch(['watch'], env ? { env } : {});
      assert.equal(code, 3, stderr);
      assert.equal(stdout, '');
      for (const pattern of says) assert.match(stderr, pattern);
    });
  }

  test('missing compilers are installed by root, under the names of the distribution', async () => {
    using machine = new FakeMachine();
    machine.without('make', 'apt-get', 'dpkg');
    machine.fake('dnf', `printf '#!/bin/sh\\n' >"\${0%/*}/make"; chmod 755 "\${0%/*}/make"`);
    const { code, stderr } = await machine.launch();
    assert.equal(code, 0, stderr);
    assert.ok(machine.calls().includes('dnf install -y make'));
  });

  test('a distribution without libbpf 1.x is reported once, and the start goes on', async () => {
    using machine = new FakeMachine();
    machine.fake('apt-get', 'echo "E: Unable to locate package"; exit 100');
    const env = { FAKE_NO_LIBBPF: '1' };
    const first = await machine.launch([], { env });
    assert.equal(first.code, 0, first.stderr);
    assert.match(first.stderr, /no libbpf 1\.x: callers will be found by \/proc only/);
    assert.equal((await machine.launch([], { env })).stderr, '');
  });

  for (const [name, env, expected] of [
    ['npm ci', { FAKE_CI_FAILS: '1' }, /npm error code EFAKE/],
    ['the pinned Node', { FAKE_NODE_INSTALL_FAILS: '1' }, /npm error network unreachable/],
  ] as const) {
    test(`a failure of ${name} ends with code 1, the end of its log and where the log is`, async () => {
      using machine = new FakeMachine();
      const { code, stdout, stderr } = await machine.launch([], { env });
      assert.equal(code, 1);
      assert.equal(stdout, '');
      assert.match(stderr, expected);
      assert.ok(stderr.includes(join(machine.checkout, '.runtime/setup.log')), stderr);
      assert.equal((await machine.launch()).code, 0, 'and the next start takes it up again');
    });
  }
});

describe('bin/node', { skip }, () => {
  test('sets up by the same way and becomes the runtime', async () => {
    using machine = new FakeMachine();
    const run = await machine.start([join(machine.checkout, 'bin/node'), '-p', '[1, "a b"].join()']);
    assert.deepEqual([run.code, run.stdout], [0, '1,a b\n'], run.stderr);
    assert.match(run.stderr, /set up in/);
  });
});
