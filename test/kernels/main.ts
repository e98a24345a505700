/**
 * `npm run test:kernels -- VMLINUZ…` boots each kernel in a virtual machine without network and disk, and compares the
 * callers that are named with the processes that called: by the tracepoint program and by samples of the tracepoint, both
 * with process events. Needs qemu-system-x86_64, cpio, gzip, a static busybox, curl and a C compiler with a static C library. A kernel of a
 * distribution must have CONFIG_FTRACE_SYSCALLS or another tracer, CONFIG_BPF_EVENTS and CONFIG_PROC_EVENTS, as
 * Debian's have. Measured: 60 to 90 s for a kernel without hardware virtualisation.
 *
 * Exit codes: 0 all callers right, 1 not, 2 no kernel was given.
 */
import { execFileSync, spawn } from 'node:child_process';
import { cpSync, mkdirSync, mkdtempSync, realpathSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { buildOneShot, findPrograms } from '../../lab/programs.ts';
import { reportIn, shortfalls, textOf } from './report.ts';

const ROOT = join(import.meta.dirname, '../..');
const MEMORY_MIB = 1_536;
const TIME_LIMIT_MS = 420_000;

const INIT = `#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin:/usr/bin
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
ip addr add 127.0.0.1/8 dev lo
ip addr add 169.254.169.254/32 dev lo
ip link set lo up
ulimit -n 4096
cd /imdswatch
/bin/node --disable-warning=ExperimentalWarning test/kernels/guest.ts
poweroff -f
`;

/** Copies a program and the libraries that its loader names. */
function copyProgram(root: string, from: string, to: string): void {
  const target = join(root, to);
  mkdirSync(dirname(target), { recursive: true });
  cpSync(realpathSync(from), target);
  let listing = '';
  try {
    listing = execFileSync('ldd', [from], { encoding: 'utf8', stdio: ['ignore', 'pipe', 'ignore'] });
  } catch {
    return; // a static program
  }
  for (const [path] of listing.matchAll(/\/\S+/g)) copyLibrary(root, path);
}

function copyLibrary(root: string, path: string): void {
  mkdirSync(join(root, dirname(path)), { recursive: true });
  cpSync(realpathSync(path), join(root, path));
}

/** Builds the guest's root file system; returns the path of the archive. */
async function buildInitramfs(work: string): Promise<string> {
  const root = join(work, 'root');
  for (const directory of ['bin', 'dev', 'etc', 'proc', 'sys', 'tmp'])
    mkdirSync(join(root, directory), { recursive: true });
  writeFileSync(join(root, 'init'), INIT, { mode: 0o755 });
  writeFileSync(join(root, 'etc/passwd'), 'root:x:0:0:root:/:/bin/sh\n');
  const programs = await findPrograms();
  copyProgram(root, '/bin/busybox', 'bin/busybox');
  copyProgram(root, process.execPath, 'bin/node');
  copyProgram(root, programs.curl, 'usr/bin/curl');
  const oneShot = await buildOneShot(programs, work);
  if (oneShot === null || programs.cc === null)
    throw new Error('a C compiler is missing: install gcc and libc6-dev');
  cpSync(oneShot, join(root, 'bin/one_shot'));
  const runMany = join(ROOT, 'bench/watch/clients/run_many.c');
  execFileSync(programs.cc, ['-static', '-O1', '-o', join(root, 'bin/run_many'), runMany]);
  const handOver = join(ROOT, 'test/kernels/hand_over.c');
  execFileSync(programs.cc, ['-static', '-O1', '-o', join(root, 'bin/hand_over'), handOver]);
  for (const directory of [
    'agent',
    'common',
    'protocol',
    'test/kernels',
    'node_modules/koffi',
    'node_modules/@koromix',
    'node_modules/zod',
  ]) {
    cpSync(join(ROOT, directory), join(root, 'imdswatch', directory), { recursive: true });
  }
  cpSync(join(ROOT, 'package.json'), join(root, 'imdswatch/package.json'));
  for (const library of ['libbpf.so.1', 'libelf.so.1', 'libz.so.1']) {
    const path = execFileSync('sh', ['-c', `ldconfig -p | sed -n 's|.*${library} .*=> ||p' | head -1`], {
      encoding: 'utf8',
    }).trim();
    // Without libbpf the first program is not tried.
    if (path !== '') copyLibrary(root, path);
  }
  symlinkSync('busybox', join(root, 'bin/sh'));
  const archive = join(work, 'initramfs.gz');
  execFileSync('sh', ['-c', `find . | cpio -o -H newc --quiet | gzip -1 > "${archive}"`], { cwd: root });
  return archive;
}

function boot(kernel: string, initramfs: string): Promise<string> {
  const argv = ['-accel', 'tcg', '-M', 'q35', '-cpu', 'max', '-smp', '2', '-nographic', '-no-reboot'];
  argv.push('-m', String(MEMORY_MIB), '-nic', 'none', '-kernel', kernel, '-initrd', initramfs);
  const guest = spawn(
    'qemu-system-x86_64',
    [...argv, '-append', 'console=ttyS0 panic=1 quiet no_timer_check'],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
      timeout: TIME_LIMIT_MS,
    },
  );
  let output = '';
  guest.stdout.on('data', (chunk) => {
    output += chunk;
  });
  return new Promise((resolve, reject) => {
    guest.once('error', reject);
    guest.once('close', () => resolve(output));
  });
}

async function main(): Promise<number> {
  const kernels = process.argv.slice(2);
  if (kernels.length === 0) {
    process.stderr.write(
      'Give the paths of kernels (vmlinuz files): npm run test:kernels -- /boot/vmlinuz-…\n',
    );
    return 2;
  }
  const work = mkdtempSync(join(tmpdir(), 'imdswatch-kernels-'));
  let isRight = true;
  try {
    const initramfs = await buildInitramfs(work);
    for (const kernel of kernels) {
      const output = await boot(kernel, initramfs);
      const report = reportIn(output);
      if (report === null) {
        process.stdout.write(`${kernel}: no report. The end of its console:\n${output.slice(-3_000)}\n`);
        isRight = false;
        continue;
      }
      process.stdout.write(`${textOf(report)}\n`);
      for (const short of shortfalls(report)) {
        process.stdout.write(`  SHORT: ${short}\n`);
        isRight = false;
      }
    }
  } finally {
    rmSync(work, { recursive: true, force: true });
  }
  return isRight ? 0 : 1;
}

process.exitCode = await main();
