/**
 * `npm run bench:scan` measures `imdswatch scan` on generated Terraform code: one file, and trees of 500, 5,000
 * and 50,000 files of 48 lines. Each run is a process of its own, from start to end.
 *
 *   --quick   without the tree of 50,000 files
 *
 * Prints a table. Exit code 1: a target was missed.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { terraformFile } from './terraform_file.ts';

const ROOT = join(import.meta.dirname, '../..');
const FILES_PER_MODULE = 50;

interface Target {
  files: number;
  seconds: number;
  megabytes: number | null;
}

const TARGETS: readonly Target[] = [
  { files: 1, seconds: 0.3, megabytes: null },
  { files: 500, seconds: 10, megabytes: 300 },
  { files: 5_000, seconds: 10, megabytes: 300 },
  { files: 50_000, seconds: 100, megabytes: null },
];

const { values } = parseArgs({ options: { quick: { type: 'boolean', default: false } } });
const directory = mkdtempSync(join(tmpdir(), 'bench-scan-'));
let isMet = true;
try {
  process.stdout.write(`${'files'.padStart(6)}  seconds  CPU seconds  MB (peak)  findings\n`);
  for (const target of TARGETS) {
    if (values.quick && target.files > 5_000) continue;
    const tree = join(directory, `${target.files}`);
    generate(tree, target.files);
    const { seconds, cpuSeconds, megabytes, findings } = measure(tree);
    const isMissed = seconds > target.seconds || (target.megabytes !== null && megabytes > target.megabytes);
    isMet &&= !isMissed;
    const cells = [
      `${target.files}`.padStart(6),
      seconds.toFixed(2).padStart(7),
      cpuSeconds.toFixed(2).padStart(11),
      megabytes.toFixed(0).padStart(9),
      `${findings}`.padStart(8),
    ];
    process.stdout.write(`${cells.join('  ')}${isMissed ? '  not met' : ''}\n`);
  }
  process.stdout.write(`load average ${loadavg()[0]!.toFixed(1)}\n`);
} finally {
  rmSync(directory, { recursive: true });
}
process.exitCode = isMet ? 0 : 1;

function generate(tree: string, files: number): void {
  for (let at = 0; at < files; at++) {
    const module = join(tree, `module_${Math.floor(at / FILES_PER_MODULE)}`);
    if (at % FILES_PER_MODULE === 0) mkdirSync(module, { recursive: true });
    writeFileSync(join(module, `file_${at}.tf`), terraformFile(at));
  }
}

/** Runs one scan. The child writes its processor time and peak memory to its last line on stderr. */
function measure(tree: string): { seconds: number; cpuSeconds: number; megabytes: number; findings: number } {
  const report =
    'process.on("exit", () => { const u = process.resourceUsage(); ' +
    'process.stderr.write(["\\n", u.userCPUTime + u.systemCPUTime, " ", u.maxRSS].join("")); });';
  const from = performance.now();
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    [
      '--disable-warning=ExperimentalWarning',
      '--import',
      `data:text/javascript,${encodeURIComponent(report)}`,
      join(ROOT, 'cli/main.ts'),
      'scan',
      '--fail-on',
      'none',
      '--format',
      'json',
      tree,
    ],
    { encoding: 'utf8', maxBuffer: 2 ** 30 },
  );
  const seconds = (performance.now() - from) / 1000;
  if (status !== 0) throw new Error(`the scan ended with ${status}: ${stderr}`);
  const [cpuMicroseconds = 0, kibibytes = 0] = stderr.trimEnd().split('\n').at(-1)!.split(' ').map(Number);
  return {
    seconds,
    cpuSeconds: cpuMicroseconds / 1e6,
    megabytes: (kibibytes * 1024) / 1e6,
    findings: (JSON.parse(stdout) as { findings: unknown[] }).findings.length,
  };
}
