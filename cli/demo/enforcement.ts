/**
 * The demo's second act: tokens are required on the host that is ready, refused for the host that is not, and given up
 * again when a program appears that nobody had seen. Commands, agents, guards and the AWS SDK are the real ones. The
 * cloud is the lab's own.
 */
import { basename } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import * as z from 'zod';
import { OperatorError } from '../../common/operator_error.ts';
import type { HostFinding } from '../../enforce/findings.ts';
import { type Plan, plan as planShape } from '../../enforce/plan.ts';
import type { PlanEvent } from '../../enforce/state/events.ts';
import type { StepState } from '../../enforce/state/step_state.ts';
import { API, DemoCloud, type DemoHost, WEB } from '../../lab/demo_cloud.ts';
import type { SeenRequest } from '../../lab/ground_truth.ts';
import type { Lab, RunResult } from '../../lab/lab.ts';
import { Ledger, type Truth } from '../../lab/ledger.ts';
import type { Programs } from '../../lab/programs.ts';
import { type LabService, startBackupJob, startModernService } from '../../lab/services.ts';
import { openFindings } from '../enforce/local_findings.ts';
import { EXIT_REFUSED, EXIT_ROLLED_BACK, storeIn } from '../enforce/shared.ts';
import { judgingOptions, judgingShape } from '../settings/local_collector.ts';
import { MADE_UP_DAYS, makeUpHistory } from './history.ts';
import type { DemoObserver } from './observer.ts';

const SERVICE_INTERVAL_S = 0.5;
const READY_WITHIN_MS = 60_000;
const REQUIRED_WITHIN_MS = 60_000;
const ROLLED_BACK_WITHIN_MS = 90_000;
const JOB_WITHIN_MS = 120_000;
const POLL_MS = 50;
const REFUSED_STATUS = 401;

export interface EnforcementOptions {
  /** The host of the story, whose collector is used. */
  web: Lab;
  /** The host whose programs all use tokens. */
  api: Lab;
  programs: Programs;
  observer: DemoObserver;
  /** Prints what begins. */
  step: (text: string) => void;
  /** Prints a result. */
  result: (text: string) => void;
  interrupted: AbortSignal;
}

export class EnforcementAct {
  readonly #options: EnforcementOptions;
  readonly #cloud: DemoCloud;
  readonly #ledger: Ledger;
  readonly #services: LabService[] = [];
  readonly #differences: string[] = [];
  /** The plan that was made for the story's host while it was clean. */
  readonly #early: Plan;

  /** These run beside the story. */
  readonly #synced: Promise<RunResult>;
  readonly #token: Promise<string>;

  private constructor(options: EnforcementOptions, cloud: DemoCloud, early: Plan) {
    this.#options = options;
    this.#cloud = cloud;
    this.#early = early;
    this.#ledger = new Ledger(options.api);
    this.#synced = this.#run('cloud', 'sync');
    this.#token = options.observer.agentToken(API);
    // A failure is reported where it is awaited.
    for (const beside of [this.#synced, this.#token]) beside.catch(() => undefined);
  }

  /** Starts the cloud and makes a plan for the story's host. Only calls with a token may have been made there. */
  static async prepare(options: EnforcementOptions): Promise<EnforcementAct> {
    const { web, api, observer, step, result } = options;
    step(`imdswatch enforce plan --host ${WEB.name}`);
    const cloud = await DemoCloud.start(web, api);
    await makeUpHistory(observer.dataDir, WEB.id);
    await untilReady(options, WEB);
    const early = await makePlan(observer, cloud, WEB);
    result(`${WEB.name} is ready now. The plan ${early.id} requires tokens there; nothing is changed yet.`);
    result(
      `Made up for this demo: ${MADE_UP_DAYS} days without a call before it began. Real: all calls, agents, commands and guards, and the AWS SDK. The cloud is a server of the lab; AWS is not contacted.`,
    );
    return new EnforcementAct(options, cloud, early);
  }

  /** Every request to the metadata service of the second host, with its owner. */
  truths(): Promise<Truth[]> {
    return this.#ledger.truths();
  }

  /** Plays the act. Returns one line for each thing that was not as it must be. Nothing else may call meanwhile. */
  async play(): Promise<string[]> {
    const { observer, api, programs, step, result } = this.#options;
    step("imdswatch cloud sync: reads the instances and groups of the lab's cloud");
    const synced = await this.#synced;
    this.#expect('the exit code of "cloud sync"', synced.status, 0);
    result(synced.stderr.trim());
    step(`a second host, ${API.name}, gets an agent, and made-up days too; its service uses tokens`);
    await observer.watchToo({ lab: api, host: API }, await this.#token);
    await makeUpHistory(observer.dataDir, API.id);
    await this.#keep(startModernService(api, programs, SERVICE_INTERVAL_S));
    await untilReady(this.#options, API);
    await this.#cloud.count();
    const [made] = await Promise.all([makePlan(observer, this.#cloud, API), this.#refused()]);
    if (!this.#options.interrupted.aborted) await this.#enforced(made);
    await Promise.all(this.#services.map((service) => service.stop()));
    return [...this.#differences, ...this.#cloud.problems()];
  }

  async #keep(starting: Promise<LabService>): Promise<LabService> {
    const service = this.#ledger.addService(await starting);
    this.#services.push(service);
    return service;
  }

  /** Applies the plan of the clean day: its host is blocked by now. */
  async #refused(): Promise<void> {
    const { step, result } = this.#options;
    const { id } = this.#early;
    step(`imdswatch enforce apply ${id} --yes, for ${WEB.name}`);
    const applied = await this.#run('enforce', 'apply', id, '--yes');
    const refusals = this.#events(this.#early).flatMap((event) =>
      event.type === 'judged' ? event.findings.filter((finding) => finding.result === 'refuse') : [],
    );
    this.#expect(`the exit code of the plan for ${WEB.name}`, applied.status, EXIT_REFUSED);
    if (!refusals.some(({ guard }) => guard === 'verdict')) {
      this.#differences.push(`the guard "verdict" did not refuse ${WEB.name}`);
    }
    this.#expect(`changes of ${WEB.name} in the cloud`, this.#writes(WEB).join(), '');
    for (const { guard, text } of refusals)
      result(`REFUSED by the guard "${guard}": ${withoutDirectories(text)}`);
    result(`${WEB.name}: tokens are ${this.#tokens(WEB)}, as before. No change was sent.`);
  }

  /** Requires tokens on the ready host, until a program appears that nobody had seen. */
  async #enforced(made: Plan): Promise<void> {
    const { step, result, api, programs, interrupted } = this.#options;
    step(`imdswatch enforce apply ${made.id} --yes, for ${API.name}`);
    let hasEnded = false;
    const ended = this.#run('enforce', 'apply', made.id, '--yes').finally(() => {
      hasEnded = true;
    });
    const isInForce = () => ['applied', 'soaking'].includes(this.#stepOf(made).status);
    await this.#until(REQUIRED_WITHIN_MS, () => hasEnded || isInForce());
    if (interrupted.aborted) return;
    if (!isInForce()) {
      const { status, reason } = this.#stepOf(made);
      this.#differences.push(
        `tokens were not required on ${API.name}: its step is ${status}. ${reason ?? ''}`,
      );
      return;
    }
    this.#expect(`tokens on ${API.name} while the plan is watched`, this.#tokens(API), 'required');
    result(`ENFORCED: ${API.name} was ready. Read back from the cloud: tokens are ${this.#tokens(API)}.`);

    const job = await this.#keep(startBackupJob(api, programs));
    const script = basename(job.script);
    step(`${script} starts on ${API.name}: nobody has ever seen it, and it knows only IMDSv1`);
    await this.#until(ROLLED_BACK_WITHIN_MS, () => hasEnded);
    if (interrupted.aborted) return;
    if (!hasEnded) {
      this.#differences.push(`${API.name} was not rolled back within ${ROLLED_BACK_WITHIN_MS / 1000} s`);
      return;
    }
    const { status: code } = await ended;
    const calls = await this.#callsOf(job);
    const refused = calls.filter(({ status: answer }) => answer === REFUSED_STATUS);
    const rolledBack = this.#stepOf(made);
    const caller =
      this.#events(made).find((event) => event.type === 'refused_call')?.caller.title ?? 'nobody';
    this.#expect(`the exit code of the plan for ${API.name}`, code, EXIT_ROLLED_BACK);
    this.#expect('the state of its step', rolledBack.status, 'rolled_back');
    this.#expect(`tokens on ${API.name} after that`, this.#tokens(API), 'optional');
    this.#expect(
      `changes of ${API.name} in the cloud`,
      this.#writes(API).join(),
      `required ${made.id},optional ${made.id}`,
    );
    if (!caller.includes(script))
      this.#differences.push(`the refused caller is named ${caller}, not ${script}`);
    if (refused[0] === undefined) {
      this.#differences.push(`${script} was never refused`);
      return;
    }
    const seconds = ((rolledBack.sinceMs - Date.parse(refused[0].time)) / 1000).toFixed(1);
    result(`401 for its first call. The plan says: ${withoutDirectories(rolledBack.reason ?? '')}`);
    result(
      `ROLLED BACK ${seconds} s after that call. Read back from the cloud: tokens are ${this.#tokens(API)}.`,
    );
    await this.#worksAgain(job);
  }

  async #worksAgain(job: LabService): Promise<void> {
    const { result } = this.#options;
    const script = basename(job.script);
    const code = await Promise.race([job.ended, sleep(JOB_WITHIN_MS, 'no end in time', { ref: false })]);
    this.#expect(`the exit code of ${script}`, code, 0);
    const calls = await this.#callsOf(job);
    this.#expect(`the last answer to ${script}`, calls.at(-1)?.status, 200);
    const service = this.#services[0]!;
    const answers = await this.#callsOf(service);
    const failed = answers.filter(({ status }) => status !== null && status !== 200);
    this.#expect(`failed calls of ${basename(service.script)}`, failed.length, 0);
    result(
      `${script} works again, after ${calls.length - 1} refused calls. ${basename(service.script)} made ${answers.length} calls with a token, and none failed.`,
    );
  }

  /** Requests of a service as the metadata service has logged them. */
  async #callsOf({ name }: LabService): Promise<SeenRequest[]> {
    return (await this.#ledger.truths()).filter(({ owner }) => owner?.name === name);
  }

  #run(...args: string[]): Promise<RunResult> {
    return this.#options.observer.run(
      [...args, '--data-dir', this.#options.observer.dataDir],
      this.#cloud.environment,
    );
  }

  #events(of: Plan): PlanEvent[] {
    return storeIn(this.#options.observer.dataDir).stateOf(of).events;
  }

  #stepOf(of: Plan): StepState {
    return storeIn(this.#options.observer.dataDir).stateOf(of).state.steps[of.steps[0]!.id]!;
  }

  #tokens({ id }: DemoHost): string {
    return this.#cloud.instance(id).options.HttpTokens;
  }

  /** The changes that the cloud made, each with the plan that its user agent names. */
  #writes({ id }: DemoHost): string[] {
    return this.#cloud
      .writes()
      .filter(({ parameters }) => parameters['InstanceId'] === id)
      .map(({ parameters, userAgent, result }) => {
        const plan = /\bapp\/(\S+)/.exec(userAgent)?.[1];
        return `${parameters['HttpTokens']} ${plan}${result === 'ok' ? '' : ` ${result}`}`;
      });
  }

  async #until(timeoutMs: number, condition: () => boolean): Promise<void> {
    const deadlineMs = performance.now() + timeoutMs;
    while (!condition() && performance.now() < deadlineMs && !this.#options.interrupted.aborted) {
      await sleep(POLL_MS);
    }
  }

  #expect(what: string, actual: unknown, expected: unknown): void {
    if (actual === expected) return;
    this.#differences.push(`${what}: ${JSON.stringify(actual)}, should be ${JSON.stringify(expected)}`);
  }
}

/** Waits until the collector judges the host as ready. Throws with its reason otherwise. */
async function untilReady(
  { observer, interrupted }: EnforcementOptions,
  { id, name }: DemoHost,
): Promise<void> {
  const settings = z.object(judgingShape).parse({ data_dir: observer.dataDir });
  const findings = await openFindings({ data_dir: observer.dataDir }, judgingOptions(settings));
  try {
    const deadlineMs = performance.now() + READY_WITHIN_MS;
    let found: HostFinding | undefined;
    while (performance.now() < deadlineMs && !interrupted.aborted) {
      [found] = await findings.hosts([id]);
      // The first record of a call or a report says in which account the host is.
      if (found?.verdict === 'ready' && found.account !== null && found.isOnline && found.isLive) return;
      await sleep(POLL_MS);
    }
    throw new OperatorError(
      1,
      `${name} did not become ready: ${found?.reason ?? 'it does not report.'} Another program of this machine that calls a metadata service meanwhile can cause this. Run the demo again.`,
    );
  } finally {
    await findings.close();
  }
}

/** Makes a plan that requires tokens on one host. Throws if the command makes none. */
async function makePlan(observer: DemoObserver, cloud: DemoCloud, { id, name }: DemoHost): Promise<Plan> {
  const argv = ['enforce', 'plan', '--host', id, '--json', '--data-dir', observer.dataDir];
  const { status, stdout, stderr } = await observer.run(argv, cloud.environment);
  if (status !== 0)
    throw new OperatorError(1, `No plan was made for ${name} (exit code ${status}): ${stderr}${stdout}`);
  return planShape.parse(JSON.parse(stdout));
}

/** Shows programs by their names alone: the paths of a lab say nothing to a person. */
function withoutDirectories(text: string): string {
  return text.replace(/(?:\/[^\s/,]+)+\/(?=[^\s/,])/g, '');
}
