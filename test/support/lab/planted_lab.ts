/** A lab with every part of the product that reads, keeps or shows calls, for secrets to be planted in. */
import assert from 'node:assert/strict';
import { copyFileSync, mkdirSync, readdirSync, readFileSync, statSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import type { ShapeName } from '../../../collector/contract/export.ts';
import { Lab, type LabProcess } from '../../../lab/lab.ts';
import type { Planted, PlantedCaller, PlantedRequest } from './planted_secrets.ts';
import { CALL_CODE, PYTHON } from './planted_secrets.ts';
import { MAIN } from './watch_lab.ts';

const LISTEN = '127.0.0.1:18789';
const RECEIVER_PORT = 18_790;
const SENDER = join(import.meta.dirname, 'planted_requests.py');
/** Receives alerts or a stream and prints what is sent to it. */
const receiverOn = (port: number) => `require('node:http').createServer((request, response) => {
  request.on('data', (chunk) => process.stdout.write(chunk)).on('end', () => response.end());
}).listen(${port}, '127.0.0.1', () => process.stderr.write('listening'))`;
/** Only a defect lasts as long. */
const PATIENCE_MS = 180_000;
/** Requests that are sent before their markers are waited for. */
const GROUP = 8;

export class PlantedLab {
  readonly lab: Lab;
  readonly data: string;
  readonly spool: string;
  readonly #capture: string;
  #up!: LabProcess;
  #tcpdump!: LabProcess;
  /** Output of running programs by their names. */
  readonly printed: Record<string, string> = {};
  #streams = 0;
  #secret = '';

  private constructor(lab: Lab) {
    this.lab = lab;
    this.data = join(lab.home, 'data');
    this.spool = join(lab.home, 'spool');
    this.#capture = join(lab.home, 'capture.pcap');
  }

  static async open(): Promise<PlantedLab> {
    const planted = new PlantedLab(await Lab.create({ name: 'planted' }));
    try {
      await planted.#start();
    } catch (error) {
      await planted.lab.close();
      throw error;
    }
    return planted;
  }

  async #start(): Promise<void> {
    const detail = ['--log-level', 'trace', '--detail', 'all'];
    this.#up = this.#spawn('the log', [...this.#command('up', '--listen', LISTEN), ...detail]);
    this.#spawn('watch', [process.execPath, MAIN, 'watch', '--json']);
    const room = ['--immediate-mode', '-s', '4096', '-B', '32768'];
    const packets = ['tcpdump', '-Z', 'root', '-U', '-n', ...room, '-i', 'eth0', '-w', this.#capture];
    this.#tcpdump = this.#spawn('tcpdump', [...packets, 'tcp', 'port', '80']);
    this.#spawn('receiver', [process.execPath, '--eval', receiverOn(RECEIVER_PORT)]);
    await this.#until('the programs run', () => {
      const { 'the log': log = '', receiver = '', tcpdump = '' } = this.printed;
      return /the agent watches/.test(log) && receiver === 'listening' && /listening on/.test(tcpdump);
    });
    this.printed['receiver'] = '';
    await this.#until('watch prints a call', async () => {
      await this.lab.run(['curl', '-s', '-o', '/dev/null', '-m', '5', 'http://169.254.169.254/']);
      return this.printed['watch']!.includes('\n');
    });
    const made = await this.run('token', 'create', '--kind', 'person', '--role', 'admin', '--name', 'test');
    const { secret, token } = JSON.parse(made) as { secret?: string; token?: string };
    this.#secret = (secret ?? token)!;
    const config = {
      kind: 'http',
      values: { url: `http://127.0.0.1:${RECEIVER_PORT}/`, secret: 'signs-what-is-sent' },
    };
    const rules = ['new_offender', 'credentials_over_v1'];
    const added = await this.#curl(
      '/alert/destinations',
      JSON.stringify({ name: 'receiver', rules, config }),
    );
    assert.match(added, /"preset":"webhook"/);
  }

  /** Starts a receiver of a stream. Resolves with the name under which it prints. */
  async addStream(stream: 'calls' | 'findings' | 'audit', shape: ShapeName): Promise<string> {
    this.#streams += 1;
    const name = `the stream ${stream} as ${shape}`;
    const port = RECEIVER_PORT + this.#streams;
    this.#spawn(name, [process.execPath, '--eval', receiverOn(port)]);
    await this.#until('the receiver listens', () => this.printed[name] === 'listening');
    const batch = { form: 'otlp_json', max_items: 100 };
    const config = {
      ...{ kind: 'http', preset: shape === 'otlp' ? 'otlp' : 'webhook' },
      values: { url: `http://127.0.0.1:${port}/` },
      request: { gzip: false, ...(shape === 'otlp' && { batch }) },
    };
    const added = await this.#curl('/alert/destinations', JSON.stringify({ name, stream, shape, config }));
    assert.match(added, new RegExp(`"shape":"${shape}"`));
    const begun = new RegExp(`"name":"${name}".*?"since":"`);
    await this.#until('the stream begins', async () => begun.test(await this.#curl('/alert/destinations')));
    return name;
  }

  #command(name: string, ...more: string[]): string[] {
    const directories = ['--data-dir', this.data, '--spool-dir', this.spool];
    return [process.execPath, MAIN, name, ...directories, ...more];
  }

  #spawn(name: string, argv: string[]): LabProcess {
    const running = this.lab.spawn(argv);
    this.printed[name] = '';
    for (const stream of [running.child.stdout, running.child.stderr])
      stream?.setEncoding('utf8').on('data', (chunk) => {
        this.printed[name] += chunk;
      });
    return running;
  }

  async #until(what: string, condition: () => boolean | Promise<boolean>): Promise<void> {
    for (const deadlineMs = performance.now() + PATIENCE_MS; !(await condition()); await sleep(100)) {
      assert.ok(performance.now() < deadlineMs, `${what}, in ${PATIENCE_MS} ms: ${this.printed['the log']}`);
    }
  }

  /** Runs a command that reads the collector's data, and returns what it prints as JSON. */
  async run(...argv: string[]): Promise<string> {
    const command = [process.execPath, MAIN, ...argv, '--data-dir', this.data, '--json'];
    const { status, stdout, stderr } = await this.lab.run(command, { timeoutMs: PATIENCE_MS });
    assert.equal(status, 0, `${argv.join(' ')}: ${stderr}`);
    return stdout + stderr;
  }

  async doctor(...more: string[]): Promise<string> {
    const command = this.#command('doctor', '--part', 'both', '--log-level', 'trace', ...more);
    const { stdout, stderr } = await this.lab.run(command, { timeoutMs: PATIENCE_MS });
    return stdout + stderr;
  }

  /** Returns what `imdswatch read` prints of the packets that the lab has captured. */
  async read(...more: string[]): Promise<string> {
    await this.#tcpdump.stop('SIGINT', PATIENCE_MS);
    const command = [process.execPath, MAIN, 'read', ...more, this.#capture];
    const { status, stdout, stderr } = await this.lab.run(command, { timeoutMs: PATIENCE_MS });
    assert.equal(status, 0, stderr);
    return stdout + stderr;
  }

  ask(path: string): Promise<string> {
    return this.#curl(path);
  }

  async #curl(path: string, body?: string): Promise<string> {
    const headers = ['-H', `Authorization: Bearer ${this.#secret}`, '-H', 'Content-Type: application/json'];
    const sent = body === undefined ? [] : ['--data', body];
    return (await this.lab.run(['curl', '-s', ...headers, ...sent, `http://${LISTEN}/api/v1${path}`])).stdout;
  }

  /** A place to visit the page, for a browser in the lab. */
  get page(): { pageUrl: string; token: string } {
    return { pageUrl: `http://${LISTEN}`, token: this.#secret };
  }

  /**
   * Sends requests in small groups and waits until `seen` and watch have the markers of each group. A burst of all
   * requests could overflow a capture buffer on a busy machine, which would be a counted loss and no leak.
   */
  async sendRequests(
    requests: readonly PlantedRequest[],
    seen: () => string | Promise<string>,
  ): Promise<void> {
    for (let from = 0; from < requests.length; from += GROUP) {
      const group = requests.slice(from, from + GROUP);
      const input = JSON.stringify(group.map(({ request }) => request));
      const { status, stderr } = await this.lab.run([PYTHON, SENDER], { input, timeoutMs: PATIENCE_MS });
      assert.equal(status, 0, stderr);
      await this.untilSeen('what is waited for', group, seen);
      await this.untilSeen('watch', group, () => this.printed['watch']!);
    }
  }

  /** Starts all callers and keeps each of them alive until `seen` finds every marker. */
  async startCallers(callers: readonly PlantedCaller[], seen: () => string): Promise<void> {
    const running = callers.map(({ argv, cwd, file }) => {
      if (cwd !== null) mkdirSync(cwd, { recursive: true });
      if (file !== null) {
        mkdirSync(dirname(file.path), { recursive: true });
        if (file.isPython) copyFileSync(PYTHON, file.path);
        else writeFileSync(file.path, CALL_CODE);
      }
      return this.lab.spawn(argv, cwd === null ? {} : { cwd });
    });
    await this.untilSeen('spool', callers, seen);
    await this.untilSeen('watch', callers, () => this.printed['watch']!);
    for (const { child } of running) child.stdin?.end();
    await Promise.all(running.map(({ exited }) => exited));
  }

  /** Waits until a text has every marker. The error names the places that were not reached. */
  async untilSeen(where: string, planted: readonly Planted[], text: () => string | Promise<string>) {
    let missing: string[] = [];
    for (const deadlineMs = performance.now() + PATIENCE_MS; performance.now() < deadlineMs; ) {
      const current = await text();
      missing = planted.filter(({ marker }) => !current.includes(marker)).map(({ place }) => place);
      if (missing.length === 0) return;
      await sleep(50);
    }
    assert.deepEqual(missing, [], `every place is reached: its marker is in ${where}`);
  }

  untilAlerted(): Promise<void> {
    return this.#until('an alert names a caller', () => /[a-z]mark\d+x/.test(this.printed['receiver']!));
  }

  /** Stops or continues the collector. While it stands still the agent keeps every record in its spool. */
  signalCollector(signal: 'SIGSTOP' | 'SIGCONT'): void {
    const { pid } = this.#up;
    const children = readFileSync(`/proc/${pid}/task/${pid}/children`, 'utf8').trim().split(' ').map(Number);
    const collectors = children.filter((child) =>
      readFileSync(`/proc/${child}/cmdline`, 'utf8').includes('\0collector\0'),
    );
    assert.equal(collectors.length, 1, `children of ${pid}: ${children}`);
    process.kill(collectors[0]!, signal);
  }

  /** Returns the content of each file in a directory, by its name. */
  files(directory: string): [string, string][] {
    return readdirSync(directory, { recursive: true, encoding: 'utf8' })
      .map((name) => join(directory, name))
      .flatMap((path): [string, string][] => {
        try {
          return statSync(path).isFile() ? [[path, readFileSync(path, 'latin1')]] : [];
        } catch (error) {
          // The agent deletes segments that the collector has acknowledged, and renames its drafts.
          if ((error as NodeJS.ErrnoException).code === 'ENOENT') return [];
          throw error;
        }
      });
  }

  async stopUp(): Promise<void> {
    await this.#up.stop('SIGTERM', PATIENCE_MS);
  }

  async close(): Promise<void> {
    await this.lab.close();
  }
}
