/**
 * Runs the commands of a document as they stand there: on the host of a lab, with /etc and /var of its own over
 * this machine's, so that the usual paths, ports and names can be used and nothing of it is left.
 */
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { kernelHasIpv6, Lab, type LabProcess } from '../../../lab/lab.ts';
import { ROOT } from './documents.ts';

const READY_TIMEOUT_MS = 60_000;
const RUN_TIMEOUT_MS = 60_000;
const LOOK_INTERVAL_MS = 20;

/** Overlays on a file system in memory: this machine's directories shine through, and are not written to. */
const SET_UP = `set -e
mount -t tmpfs stage "$STAGE"
for directory in etc var; do
  mkdir -p "$STAGE/$directory/upper" "$STAGE/$directory/work"
  mount -t overlay stage -o "lowerdir=/$directory,upperdir=$STAGE/$directory/upper,workdir=$STAGE/$directory/work" "/$directory"
done
rm -rf /etc/imdswatch /var/lib/imdswatch
mkdir -p /etc/imdswatch
printf '127.0.0.1 localhost collector.example.com soc.example.com\\n' > /etc/hosts
echo ready
exec sleep infinity`;

export interface Ended {
  status: number | null;
  output: string;
}

/** Process of a command that keeps running. */
export interface Running {
  output(): string;
  /** Ends the command like Ctrl-C, and returns its exit code. */
  end(): Promise<Ended>;
}

export class Stage {
  readonly #lab: Lab;
  readonly #keeper: LabProcess;
  readonly #directory: string;
  readonly #kept: Running[] = [];

  private constructor(lab: Lab, keeper: LabProcess, directory: string) {
    this.#lab = lab;
    this.#keeper = keeper;
    this.#directory = directory;
  }

  static async open(): Promise<Stage> {
    const lab = await Lab.create({ name: 'docs', ipv6: kernelHasIpv6() });
    try {
      const directory = join(lab.home, 'here');
      for (const made of ['bin', 'here/bin', 'stage']) mkdirSync(join(lab.home, made), { recursive: true });
      const node = `"${process.execPath}" --disable-warning=ExperimentalWarning`;
      const command = `#!/bin/sh\nexec ${node} "${join(ROOT, 'cli/main.ts')}" "$@"\n`;
      // In the path as a package puts it, and as a checkout has it.
      for (const at of ['bin/imdswatch', 'here/bin/imdswatch']) {
        writeFileSync(join(lab.home, at), command, { mode: 0o755 });
      }
      // We are root, and the machine need not have it.
      writeFileSync(join(lab.home, 'bin/sudo'), '#!/bin/sh\nexec "$@"\n', { mode: 0o755 });
      const keeper = lab.spawn(['unshare', '--mount', '--propagation', 'private', 'sh', '-c', SET_UP], {
        env: { STAGE: join(lab.home, 'stage') },
      });
      const stage = new Stage(lab, keeper, directory);
      const keeping = follow(keeper);
      await said(keeping, ['ready']);
      return stage;
    } catch (error) {
      await lab.close();
      throw error;
    }
  }

  /** To its end, by bash; variables are there in the next one. */
  async run(script: string): Promise<Ended> {
    const running = this.#spawn(script);
    const timer = setTimeout(() => void running.process.stop('SIGKILL', 0), RUN_TIMEOUT_MS);
    const { status } = await running.process.exited;
    clearTimeout(timer);
    return { status, output: running.output() };
  }

  /** Resolves when it has said all of `says`. Throws with what it said instead. */
  async start(script: string, says: readonly string[]): Promise<Running> {
    const running = this.#spawn(script);
    try {
      await said(running, says);
    } catch (error) {
      await running.process.stop();
      throw error;
    }
    return {
      output: running.output,
      end: async () => {
        // To the whole group, as a terminal does.
        process.kill(-running.process.pid, 'SIGINT');
        const timer = setTimeout(() => void running.process.stop('SIGKILL', 0), RUN_TIMEOUT_MS);
        const { status } = await running.process.exited;
        clearTimeout(timer);
        return { status, output: running.output() };
      },
    };
  }

  #spawn(script: string) {
    const entered = ['nsenter', `--mount=/proc/${this.#keeper.pid}/ns/mnt`, '--', 'bash', '-c'];
    const variables = join(this.#lab.home, 'variables');
    const whole = `cd '${this.#directory}'
[ -f '${variables}' ] && . '${variables}'
set -euo pipefail -o allexport
trap : INT
${script}
export -p > '${variables}'`;
    const running = this.#lab.spawn([...entered, whole], {
      env: { NODE: process.execPath, PATH: `${join(this.#lab.home, 'bin')}:${process.env['PATH']}` },
    });
    running.child.stdin?.end();
    return follow(running);
  }

  /** Directory of the lab, outside of what the commands see as theirs. */
  get home(): string {
    return this.#lab.home;
  }

  /** Writes a file, as the commands see it. */
  async put(path: string, text: string): Promise<void> {
    const { status, output } = await this.run(
      `cat > '${path}' <<'END-OF-FILE'\n${text.trimEnd()}\nEND-OF-FILE`,
    );
    if (status !== 0) throw new Error(`${path} cannot be written: ${output}`);
  }

  /** Starts what is there until the stage is closed. */
  async keep(script: string, says: readonly string[]): Promise<void> {
    this.#kept.push(await this.start(script, says));
  }

  /** Runs it again and again until its output is as wanted. */
  async until(script: string, isWanted: (output: string) => boolean): Promise<void> {
    const deadlineMs = performance.now() + READY_TIMEOUT_MS;
    for (;;) {
      const { output } = await this.run(script);
      if (isWanted(output)) return;
      if (performance.now() > deadlineMs) throw new Error(`${script} goes on saying:\n${output}`);
    }
  }

  async close(): Promise<void> {
    for (const running of this.#kept.reverse()) await running.end();
    await this.#lab.close();
  }
}

function follow(running: LabProcess): { process: LabProcess; output(): string } {
  let output = '';
  for (const stream of [running.child.stdout, running.child.stderr]) {
    stream?.setEncoding('utf8').on('data', (chunk) => {
      output += chunk;
    });
  }
  return { process: running, output: () => output };
}

async function said(running: ReturnType<typeof follow>, says: readonly string[]): Promise<void> {
  let hasEnded = false;
  void running.process.exited.then(() => {
    hasEnded = true;
  });
  const deadlineMs = performance.now() + READY_TIMEOUT_MS;
  const missing = () => says.filter((text) => !running.output().includes(text));
  while (missing().length > 0) {
    if (hasEnded || performance.now() > deadlineMs) {
      throw new Error(`did not say ${JSON.stringify(missing())}, but:\n${running.output()}`);
    }
    await sleep(LOOK_INTERVAL_MS);
  }
}
