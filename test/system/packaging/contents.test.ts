/** Tests the contents of the packages, which are read out of them. */
import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from 'node:fs';
import { createRequire } from 'node:module';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, before, describe, it } from 'node:test';
import { LIBDBUS_SONAME, LIBPCAP_SONAME } from '../../../packaging/cap_addon.ts';
import { CODE_DIRECTORY, DOC_DIRECTORY, LIBRARY_DIRECTORY } from '../../../packaging/target.ts';
import { cannotPackage, type Kept, keptPackages, NATIVE, ROOT } from '../../support/packaging/kept.ts';
import { captureOfOneRead, run } from '../../support/packaging/run.ts';

const PACKAGE_MAX_BYTES = 50e6;
const INSTALLED_MAX_BYTES = 160e6;
const NODE = `${CODE_DIRECTORY}/bin/node`;
const NOT_FOR_USERS =
  /(?<!LICENSE)\.(ts|map|md|c|cc|h|gyp|o\.d)$|\/(tests?|__tests__|examples?|benchmarks?|docs?)\/(?!.*\.conf$)|\/\.[^/]+$|@types|\/nan\/|musl/;
const isNotForUsers = (path: string) =>
  NOT_FOR_USERS.test(path.slice(CODE_DIRECTORY.length)) &&
  path.startsWith(`${CODE_DIRECTORY}/`) &&
  // Code of that name, and the demo's callers, which it compiles.
  !/\/yaml\/dist\/doc\/|\/lab\/clients\/[a-z_]+\.c$/.test(path);

const skip = cannotPackage(NATIVE) ?? false;

describe('packages of this machine', { skip }, () => {
  let kept: Kept;
  let directory: string;
  /** Directory with the unpacked .deb. */
  let tree: string;
  const at = (path: string) => join(tree, path);

  before(async () => {
    kept = await keptPackages(NATIVE);
    directory = mkdtempSync(join(tmpdir(), 'imdswatch-contents-'));
    tree = join(directory, 'tree');
    await run('dpkg-deb', ['--extract', kept.deb, tree]);
  });
  after(() => rmSync(directory, { recursive: true, force: true }));

  const filesIn = (path: string) =>
    readdirSync(at(path), { recursive: true, withFileTypes: true })
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(tree.length));
  const node = (args: string[], env: NodeJS.ProcessEnv = {}) =>
    run(at(`${CODE_DIRECTORY}/bin/node`), ['--disable-warning=ExperimentalWarning', ...args], env);
  const command = (...args: string[]) => node([at(`${CODE_DIRECTORY}/cli/main.js`), ...args]);

  it('are small', () => {
    const installedBytes = filesIn('/').reduce((sum, path) => sum + statSync(at(path)).size, 0);
    assert.ok(installedBytes < INSTALLED_MAX_BYTES, `${installedBytes} bytes installed`);
    for (const path of [kept.deb, kept.rpm, kept.archive])
      assert.ok(statSync(path).size < PACKAGE_MAX_BYTES, path);
  });

  it('have what a host needs in them, the same in both', async () => {
    const names = filesIn('/');
    for (const path of [
      '/usr/bin/imdswatch',
      `${CODE_DIRECTORY}/agent/attribution/bpf/imds_connect.bpf.o`,
      `${CODE_DIRECTORY}/web/dist/index.html`,
      `${CODE_DIRECTORY}/node_modules/cap/LICENSE`,
      `${CODE_DIRECTORY}/licenses/node`,
      `${CODE_DIRECTORY}/licenses/preact`,
      ...[
        'libc6',
        'libstdc++6',
        'libgcc-s1',
        'libbpf1',
        'libelf1',
        'zlib1g',
        'libpcap0.8',
        'LGPL-2.1',
        'GPL-3',
      ].map((name) => `${CODE_DIRECTORY}/licenses/debian/${name}`),
      '/etc/imdswatch/agent.yaml',
      '/etc/imdswatch/collector.yaml',
      '/usr/lib/systemd/system/imdswatch-agent.service',
      '/usr/lib/systemd/system/imdswatch-collector.service',
      '/usr/lib/sysusers.d/imdswatch.conf',
      '/usr/share/man/man1/imdswatch.1.gz',
      '/usr/share/man/man8/imdswatch-agent.8.gz',
      '/usr/share/bash-completion/completions/imdswatch',
      `${DOC_DIRECTORY}/copyright`,
    ]) {
      assert.ok(names.includes(path), path);
    }
    const inRpm = (await run('rpm', ['-qp', '--qf', '[%{FILEMODES:perms} %{FILENAMES}\\n]', kept.rpm])).split(
      '\n',
    );
    const rpmFiles = inRpm.filter((line) => line.startsWith('-')).map((line) => line.slice(11));
    const ofOneFamily = /^\/usr\/share\/doc\/imdswatch\/(copyright|changelog\.Debian\.gz|LICENSE)$/;
    const common = (paths: string[]) => paths.filter((path) => !ofOneFamily.test(path)).sort();
    assert.deepEqual(common(rpmFiles), common(names));
  });

  it('have nothing in them that only developers use', () => {
    assert.deepEqual(filesIn('/').filter(isNotForUsers), []);
  });

  it('belong to root, with nothing that others may write or that runs as somebody else', async () => {
    const listed = (await run('dpkg-deb', ['--contents', kept.deb])).trimEnd().split('\n');
    const programs = ['./usr/bin/imdswatch', `.${CODE_DIRECTORY}/bin/node`];
    for (const line of listed) {
      const [mode, owner, , , , path] = line.split(/\s+/);
      const wanted = mode!.startsWith('d') || programs.includes(path!) ? 'rwxr-xr-x' : 'rw-r--r--';
      assert.equal(`${mode!.slice(1)} ${owner}`, `${wanted} root/root`, line);
    }
    const inRpm = await run('rpm', [
      '-qp',
      '--qf',
      '[%{FILEUSERNAME}:%{FILEGROUPNAME} %{FILEMODES:perms} %{FILENAMES}\\n]',
      kept.rpm,
    ]);
    const notRoots = inRpm
      .split('\n')
      .filter((line) => line !== '' && !/^root:root (-rw-r--r--|-rwxr-xr-x|drwxr-xr-x)/.test(line));
    assert.deepEqual(notRoots, [
      'root:imdswatch-agent -rw-r----- /etc/imdswatch/agent.yaml',
      'root:imdswatch-collector -rw-r----- /etc/imdswatch/collector.yaml',
      'imdswatch-agent:imdswatch-agent drwx------ /var/lib/imdswatch/agent',
      'imdswatch-collector:imdswatch-collector drwx------ /var/lib/imdswatch/collector',
    ]);
  });

  it('name no path of the machine that made them', () => {
    const telltales = [ROOT, tmpdir(), process.env['HOME'] ?? ROOT].filter(
      (path) => path.length > 5 || path === '/tmp',
    );
    const ours = filesIn('/').filter((path) => !path.includes('/node_modules/') || path.endsWith('cap.node'));
    for (const path of ours.filter((path) => !path.endsWith('/bin/node'))) {
      const content = readFileSync(at(path));
      for (const telltale of telltales.map((path) => (path === '/tmp' ? '/tmp/imdswatch-' : path))) {
        const isOwnTemporary = path.endsWith('.js') && telltale === '/tmp/imdswatch-';
        assert.ok(isOwnTemporary || !content.includes(telltale), `${path} has ${telltale} in it`);
      }
    }
  });

  it('let the demo write to its cache, and nowhere below /usr', async () => {
    const programs = JSON.stringify(at(`${CODE_DIRECTORY}/lab/programs.js`));
    const printed = await node(['--eval', `import(${programs}).then((lab) => console.log(lab.SDKS_DIR))`]);
    assert.equal(printed.trim(), '/var/cache/imdswatch/demo');
    assert.ok(filesIn(`${CODE_DIRECTORY}/lab/clients`).some((path) => path.endsWith('/package-lock.json')));
    // Its containers run clients from there.
    const engine = JSON.stringify(at(`${CODE_DIRECTORY}/lab/engines/socket_engine.js`));
    const binds = await node(['--eval', `import(${engine}).then((lab) => console.log(lab.machineBinds()))`]);
    assert.match(binds, /'\/var\/cache\/imdswatch\/demo:\/var\/cache\/imdswatch\/demo:ro'/);
  });

  it('run on the kernel of 2012, with nothing but their own libraries', async () => {
    const notes = await run(`${NATIVE.gnu}-readelf`, ['-n', at(`${LIBRARY_DIRECTORY}/libc.so.6`)]);
    assert.match(notes, /OS: Linux, ABI: 3\.(2|7)\.0/);
    assert.doesNotMatch(await run(`${NATIVE.gnu}-readelf`, ['-lW', at(NODE)]), /INTERP/);
    const script = `const { createRequire } = require('node:module');
      const r = createRequire('${at(CODE_DIRECTORY)}/package.json');
      r('cap');
      const koffi = r('koffi');
      for (const name of ['libc.so.6', 'libbpf.so.1', 'libpcap.so.0.8']) koffi.load(name);
      const foreign = process.env.LD_LIBRARY_PATH === undefined ? ['libnss_compat.so.2', 'libcrypt.so.1'] : [];
      for (const name of foreign) {
        try { koffi.load(name); console.log(name, 'loaded'); } catch {}
      }
      require('node:os').userInfo();
      require('node:dns').lookup('localhost', () => {
        const maps = require('node:fs').readFileSync('/proc/self/maps', 'utf8');
        for (const name of new Set(maps.match(/[/].*[.](so|node)[.0-9]*$/gm))) console.log(name);
      });`;
    // The second one names directories in which the machine has libraries of the same names.
    for (const env of [{}, { LD_LIBRARY_PATH: `/lib/${NATIVE.gnu}:/usr/lib/${NATIVE.gnu}` }]) {
      const mapped = (await node(['--eval', script], env)).trim().split('\n');
      assert.ok(mapped.length >= 12, mapped.join(' '));
      for (const name of mapped) assert.ok(name.startsWith(at(CODE_DIRECTORY)), name);
    }
  });

  it('link cap with libpcap, and libpcap without D-Bus', async () => {
    const addon = at(`${CODE_DIRECTORY}/node_modules/cap/build/Release/cap.node`);
    const needed = await run(`${NATIVE.gnu}-objdump`, ['-p', addon]);
    assert.deepEqual(
      [...needed.matchAll(/NEEDED +(libpcap\S+)/g)].map(([, name]) => name),
      [LIBPCAP_SONAME],
    );
    const symbols = await run(`${NATIVE.gnu}-objdump`, ['-T', addon]);
    // cap looks it up by the name of a file that only libpcap-dev has; see immediate_mode.h.
    assert.match(symbols, /pcap_set_immediate_mode/);
    assert.doesNotMatch(symbols, /dlopen/);
    assert.ok(readFileSync(addon).includes('imdswatch-cap-build:'), 'compiled without snap_length.h');
    // Each function that libpcap takes from libdbus is there.
    const functions = async (name: string, pattern: RegExp) =>
      [...(await run(`${NATIVE.gnu}-objdump`, ['-T', at(`${LIBRARY_DIRECTORY}/${name}`)])).matchAll(pattern)]
        .map(([, name]) => name)
        .sort();
    const wanted = await functions(LIBPCAP_SONAME, /\*UND\*.* (dbus_\w+)$/gm);
    assert.ok(wanted.length > 10);
    assert.deepEqual(await functions(LIBDBUS_SONAME, /\.text.* (dbus_\w+)$/gm), wanted);
  });

  it('start again, start workers and children, and leave nothing in their environment', async () => {
    const script = `const { execFileSync } = require('node:child_process');
      const { readFileSync, readlinkSync } = require('node:fs');
      const said = () => [process.execPath, readlinkSync('/proc/self/exe'), process.argv0,
        Object.keys(process.env).filter((name) => /^(LD_|GCONV)/.test(name)).join()];
      if (process.env.AGAIN === '2') { console.log(JSON.stringify(said())); process.exit(); }
      if (process.env.AGAIN === '1')
        process.execve(process.execPath, [process.argv0, '--eval', process.env.SCRIPT], { ...process.env, AGAIN: '2' });
      new (require('node:worker_threads').Worker)('console.log(JSON.stringify(process.version))', { eval: true });
      console.log(JSON.stringify(said()));
      const env = { ...process.env, AGAIN: '1' };
      console.log(execFileSync(process.execPath, ['--eval', process.env.SCRIPT], { env, encoding: 'utf8' }).trim());
      console.log(JSON.stringify(execFileSync('/bin/sh', ['-c', 'echo plain'], { encoding: 'utf8' })));`;
    const lines = (await node(['--eval', script], { SCRIPT: script })).trim().split('\n');
    const said = [at(NODE), at(NODE), at(NODE), ''];
    const found = lines.map((line) => JSON.parse(line)).sort();
    assert.deepEqual(found, [said, said, 'plain\n', process.version].sort());
  });

  it('say what is wrong where they are not whole', () => {
    const apart = join(directory, 'apart');
    mkdirSync(join(apart, 'bin'), { recursive: true });
    mkdirSync(join(apart, 'lib'));
    linkSync(at(NODE), join(apart, 'bin/node'));
    const loader = `${apart}/bin/../lib/${NATIVE.loader}`;
    const started = () => {
      const { status, stderr } = spawnSync(join(apart, 'bin/node'), ['--version'], { encoding: 'utf8' });
      return `${status}: ${stderr}`;
    };
    assert.equal(
      started(),
      `127: imdswatch does not start: ${loader} could not be opened. The package is not whole: install or unpack it again.\n`,
    );
    writeFileSync(loader, 'cut');
    assert.equal(
      started(),
      `127: imdswatch does not start: ${loader} is not the loader of this package. Install or unpack it again.\n`,
    );
  });

  it('have add-ons in them that load', async () => {
    const script = `const { createRequire } = require('node:module');
      const r = createRequire('${at(CODE_DIRECTORY)}/package.json');
      if (typeof r('cap').Cap !== 'function') throw new Error('cap');
      if (r('koffi').load('libc.so.6').func('int getpid()')() !== process.pid) throw new Error('koffi');
      console.log('loaded');`;
    assert.equal(await node(['--eval', script]), 'loaded\n');
  });

  it('run every command there is, and read a capture, without writing beside the code', async () => {
    const before = filesIn('/');
    const { version } = JSON.parse(readFileSync(join(ROOT, 'package.json'), 'utf8'));
    assert.equal(await command('--version'), `imdswatch ${version}\n`);
    const names = [...(await command('--help')).matchAll(/^ {2}(\w+) /gm)].map(([, name]) => name!);
    assert.ok(names.length >= 13, names.join(' '));
    for (const name of names) assert.match(await command(name, '--help'), /imdswatch/);
    const capture = join(directory, 'one.pcap');
    writeFileSync(capture, captureOfOneRead());
    const call = JSON.parse(await command('read', capture, '--json'));
    assert.equal(call['imds.version'] ?? call.imds.version, 1);
    assert.deepEqual(filesIn('/'), before);
  });

  it('load every module of ours', async () => {
    const modules = [
      'cli/watch_process.js',
      'collector/main.js',
      'collector/store/sqlite/threaded_store.js',
      'agent/live_watch.js',
      'enforce/cloud/aws_cloud.js',
    ];
    const imports = modules.map((path) => `import '${at(`${CODE_DIRECTORY}/${path}`)}';`).join('');
    await node(['--input-type=module', '--eval', `${imports} process.exit(0)`]);
    // Modules that are loaded only when they are needed.
    const texts = filesIn(CODE_DIRECTORY)
      .filter((path) => path.endsWith('.js') && !path.includes('/node_modules/'))
      .map((path) => readFileSync(at(path), 'utf8'));
    const named = (pattern: RegExp) =>
      texts.flatMap((text) => [...text.matchAll(pattern)].map(([, name]) => name!));
    const required = named(/import\.meta\.url\)\('([^']+)'\)/g);
    const imported = named(/await import\('([a-z@][^']*)'\)/g);
    assert.ok(required.includes('koffi') && imported.includes('web-tree-sitter'), `${required} ${imported}`);
    const script = `const require = (await import('node:module')).createRequire('${at(CODE_DIRECTORY)}/package.json');
      for (const name of ${JSON.stringify(required)}) require(name);
      for (const name of ${JSON.stringify(imported)}) await import(name);`;
    // A module in an argument is resolved from the working directory.
    const program = [at(`${CODE_DIRECTORY}/bin/node`), '--input-type=module', '--eval', script];
    await run('sh', ['-c', 'cd "$0" && exec "$@"', at(CODE_DIRECTORY), ...program]);
  });

  it('tell what they are made of', () => {
    const bill = JSON.parse(readFileSync(at(`${DOC_DIRECTORY}/sbom.cdx.json`), 'utf8'));
    assert.equal(bill.bomFormat, 'CycloneDX');
    assert.match(
      bill.serialNumber,
      /^urn:uuid:[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-a[0-9a-f]{3}-[0-9a-f]{12}$/,
    );
    const components: {
      name: string;
      group?: string;
      version: string;
      properties: { name: string; value: string }[];
    }[] = bill.components;
    const installed = filesIn(`${CODE_DIRECTORY}/node_modules`).filter((path) =>
      /\/node_modules\/(@[^/]+\/)?[^/]+\/package\.json$/.test(path),
    );
    const { version } = createRequire(import.meta.url)(join(ROOT, 'node_modules/hono/package.json'));
    assert.ok(components.some((component) => component.name === 'hono' && component.version === version));
    const paths = components.flatMap(({ properties }) =>
      properties.filter(({ name }) => name === 'cdx:npm:package:path').map(({ value }) => value),
    );
    for (const path of installed) {
      assert.ok(
        paths.includes(path.slice(CODE_DIRECTORY.length + 1, -'/package.json'.length)),
        `${path} is not in the bill`,
      );
    }
    const names = components.map(({ name }) => name);
    const carried = [
      'libc6',
      'libstdc++6',
      'libgcc-s1',
      'libbpf1',
      'libelf1',
      'zlib1g',
      'libpcap0.8',
      LIBDBUS_SONAME,
    ];
    for (const name of ['node', 'imds_connect.bpf.o', 'preact', 'uplot', 'nan', ...carried])
      assert.ok(names.includes(name), name);
    for (const name of ['typescript', 'vite', 'playwright-core']) assert.ok(!names.includes(name), name);
  });

  it('are read by dpkg and rpm as they are meant', async () => {
    const field = (name: string) => run('dpkg-deb', ['--field', kept.deb, name]);
    assert.equal((await field('Architecture')).trim(), NATIVE.deb);
    assert.equal((await field('Depends')).trim(), 'passwd');
    // dpkg 1.15 can read these.
    assert.equal(await run('ar', ['t', kept.deb]), 'debian-binary\ncontrol.tar.gz\ndata.tar.xz\n');
    const author = (await run('git', ['-C', ROOT, 'log', '-1', '--format=%an <%ae>'])).trim();
    assert.equal((await field('Maintainer')).trim(), process.env['MAINTAINER'] ?? author);
    const requires = await run('rpm', ['-qp', '--requires', kept.rpm]);
    // The names in brackets are features that rpm 4.11 has.
    const wanted = requires.split('\n').filter((name) => !/^$|^\/bin\/sh$|^shadow-utils$/.test(name));
    const ofRpm = ['CompressedFileNames', 'FileDigests', 'PayloadFilesHavePrefix', 'PayloadIsXz'];
    assert.deepEqual(
      [...new Set(wanted.map((name) => /^rpmlib\((\w+)\)/.exec(name)?.[1] ?? name))].sort(),
      ofRpm,
    );
    const query = '%{ARCH} %{BUILDHOST} %{PAYLOADCOMPRESSOR} %{VENDOR}';
    assert.equal(
      await run('rpm', ['-qp', '--qf', query, kept.rpm]),
      `${NATIVE.rpm} packages.invalid xz (none)`,
    );
    assert.equal(
      await run('rpm', ['-qpc', kept.rpm]),
      '/etc/imdswatch/agent.yaml\n/etc/imdswatch/collector.yaml\n',
    );
    const { stdout } = spawnSync('rpm', ['-K', kept.rpm], { encoding: 'utf8' });
    assert.match(stdout, /digests OK/);
    assert.ok(existsSync(`${kept.deb}.cdx.json`) && existsSync(`${kept.rpm}.cdx.json`));
    assert.ok(existsSync(`${kept.archive}.cdx.json`));
  });
});
