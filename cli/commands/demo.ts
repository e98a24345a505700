/**
 * `imdswatch demo` shows the product on a lab of network namespaces, in which real programs call a metadata
 * service. With `--once` it also tests the whole product: it compares the offenders with what the programs
 * really did.
 */
import { setTimeout as sleep } from 'node:timers/promises';
import { styleText } from 'node:util';
import * as z from 'zod';
import { OperatorError } from '../../common/operator_error.ts';
import { prepareContainerStory } from '../../lab/container_story.ts';
import { WEB } from '../../lab/demo_cloud.ts';
import { kernelHasIpv6, Lab } from '../../lab/lab.ts';
import type { Truth } from '../../lab/ledger.ts';
import { findPrograms, installSdks } from '../../lab/programs.ts';
import { type Act, Story } from '../../lab/story.ts';
import { compareOffenders, tallyByIdentity } from '../../lab/tally.ts';
import { EnforcementAct } from '../demo/enforcement.ts';
import { DemoObserver } from '../demo/observer.ts';
import { loadSettings } from '../settings/settings.ts';
import { INDENT, wrap } from '../terminal/lines.ts';
import { visibleText } from '../terminal/visible_text.ts';

const demoSettings = z.object({
  once: z
    .boolean()
    .default(false)
    .describe(
      'Run all steps once, print the offenders and exit. The exit code is 0 if they match what the lab did, otherwise 1.',
    ),
});

/** Pause between the steps of the live view, so that a person can follow. */
const PACE_MS = 700;
const ENCORE_PACE_MS = 2500;
const ONE_KERNEL =
  "both hosts of this lab share one kernel, so each agent counts the other host's connections as not seen: the page shows gaps";
const RESULT_WIDTH = 110;
const NO_SECOND_ACT =
  'this kernel gives no eBPF, so agents in different network namespaces cannot tell their hosts apart: the second act, which requires tokens, is left out';

/** Resolves to the exit code. Throws `OperatorError` (3) without root or when a program is missing. */
export async function run(argv: string[]): Promise<number> {
  const { settings } = loadSettings(demoSettings, {
    command: 'demo',
    summary:
      'Builds a lab of network namespaces with metadata services and real clients, shows the findings, and requires tokens in a cloud that the lab plays.',
    argv,
    env: process.env,
  });
  const interrupt = new AbortController();
  const onSignal = () => {
    // A second signal exits at once. The lab removes itself in the process's exit handler.
    if (interrupt.signal.aborted) process.exit(1);
    interrupt.abort();
  };
  process.on('SIGINT', onSignal).on('SIGTERM', onSignal);
  try {
    return await demo(settings.once, interrupt.signal);
  } finally {
    process.off('SIGINT', onSignal).off('SIGTERM', onSignal);
  }
}

async function demo(once: boolean, interrupted: AbortSignal): Promise<number> {
  if (process.getuid?.() !== 0) {
    throw new OperatorError(
      3,
      'The demo builds network namespaces and captures packets. This needs root (CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF). Run "sudo imdswatch demo".',
    );
  }
  const programs = await findPrograms();
  await installSdks(step);
  step('building a lab: two hosts, each with a metadata service, in network namespaces of their own');
  const hasIpv6 = kernelHasIpv6();
  if (!hasIpv6) step('this kernel runs without IPv6: the demo makes no IPv6 calls');
  const labs: Lab[] = [];
  const build = async (name: string, ipv6: boolean) => {
    const built = await Lab.create({ name, ipv6 });
    labs.push(built);
    return built;
  };
  try {
    const lab = await build('demo', hasIpv6);
    const api = await build('demo2', false);
    const story = await Story.prepare(lab, programs);
    step('starting agent and collector on the first host ("imdswatch up")');
    const containers = await prepareContainerStory(lab, programs, story.ledger);
    const observer = await DemoObserver.start(
      { lab, host: WEB },
      { liveView: !once, engineSocket: containers.socket },
    );
    await playAll([story.opening()], 0, interrupted);
    const enforcement = observer.hasEbpf
      ? await EnforcementAct.prepare({ web: lab, api, programs, observer, step, result, interrupted })
      : null;
    if (containers.notAvailable !== null)
      step(`${containers.notAvailable}: the steps with containers are left out`);
    const acts = [...story.acts(), ...containers.acts];
    let isComplete = await playAll(acts, once ? 0 : PACE_MS, interrupted);
    const differences: string[] = [];
    if (isComplete) {
      // The second act needs a kernel on which nobody else calls.
      await story.end();
      if (enforcement === null) step(NO_SECOND_ACT);
      else differences.push(...(await enforcement.play()));
      isComplete = !interrupted.aborted;
    }
    if (!isComplete) return once ? 1 : 0;
    if (!once) {
      process.stdout.write(`\n${bold('So far:')}\n`);
      await observer.printOffenders();
      process.stdout.write(
        `\n${bold('Open the page in a browser')} to see the advice for each team, which hosts are ready, and the plans (the certificate is self-signed):\n  ${visibleText(observer.signInLink ?? '')}\n`,
      );
      process.stdout.write(
        `\n${bold('The lab runs until you press Ctrl-C.')} Lines marked IMDSv1 are calls without a session token.\n\n`,
      );
      if (enforcement !== null) step(ONE_KERNEL);
      await story.resume();
      await playAll(story.encores(), ENCORE_PACE_MS, interrupted);
      await story.end();
    }
    differences.push(...(await observer.stop()), ...(await story.ledger.surprises()));
    const truths = [...(await story.ledger.truths()), ...((await enforcement?.truths()) ?? [])];
    return await judge(truths, observer, differences);
  } catch (error) {
    // A step that was under way may have failed because of the interruption.
    if (interrupted.aborted) return once ? 1 : 0;
    throw error;
  } finally {
    for (const each of labs.toReversed()) await each.close();
  }
}

/** Plays all steps. Returns false when it was interrupted before the last one. */
async function playAll(acts: Iterable<Act>, paceMs: number, interrupted: AbortSignal): Promise<boolean> {
  for (const act of acts) {
    if (interrupted.aborted) return false;
    step(act.says);
    await act.play();
    if (paceMs > 0) await sleep(paceMs, undefined, { signal: interrupted }).catch(() => {});
  }
  return true;
}

/**
 * Prints the offenders and compares them with what the lab did. Returns the exit code. `failures`: what was
 * not as it must be until now.
 */
async function judge(
  truths: readonly Truth[],
  observer: DemoObserver,
  failures: readonly string[],
): Promise<number> {
  process.stdout.write('\n');
  await observer.printOffenders();
  const differences = [...failures, ...compareOffenders(truths, await observer.listOffenders())];
  if (differences.length > 0) {
    process.stderr.write(
      `\nimdswatch and the lab differ:\n${differences.map((line) => `  ${visibleText(line)}\n`).join('')}`,
    );
    return 1;
  }
  const tallies = tallyByIdentity(truths);
  const sum = (field: 'v1' | 'v2' | 'credentialsOverV1') =>
    tallies.reduce((total, tally) => total + tally[field], 0);
  process.stdout.write(`
${bold('What this means')}
Each row is a program that requested metadata without a session token (IMDSv1). If credentials were sent this
way, an attacker who can make the program fetch a URL can get them. This happened to the web app.
A fallback is a program that supports IMDSv2 but got no token: raise the hop limit, do not update the program.
The rows match the log of the metadata service: ${truths.length} calls, ${sum('v1')} of them IMDSv1 by
${tallies.filter(({ v1 }) => v1 > 0).length} programs, credentials sent over IMDSv1 ${sum('credentialsOverV1')} times; ${sum('v2')} calls were IMDSv2.

${bold('What to do next')}
  sudo imdswatch watch        show the calls of this host, live
  sudo imdswatch up           record them; then "imdswatch offenders" lists the programs that must change
`);
  return 0;
}

function step(text: string): void {
  process.stdout.write(`${styleText('cyan', '●', { stream: process.stdout })} ${visibleText(text)}\n`);
}

function result(text: string): void {
  for (const line of wrap(visibleText(text), RESULT_WIDTH)) process.stdout.write(`${INDENT}${line}\n`);
}

function bold(text: string): string {
  return styleText('bold', text, { stream: process.stdout });
}
