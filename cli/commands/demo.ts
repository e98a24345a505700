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
import { kernelHasIpv6, Lab } from '../../lab/lab.ts';
import { findPrograms, installSdks } from '../../lab/programs.ts';
import { type Act, Story } from '../../lab/story.ts';
import { compareOffenders, tallyByIdentity } from '../../lab/tally.ts';
import { DemoObserver } from '../demo_observer.ts';
import { loadSettings } from '../settings/settings.ts';
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

/** Resolves to the exit code. Throws `OperatorError` (3) without root or when a program is missing. */
export async function run(argv: string[]): Promise<number> {
  const { settings } = loadSettings(demoSettings, {
    command: 'demo',
    summary:
      'Builds a lab of network namespaces with a metadata service and real clients, and shows the findings.',
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
  step('building a lab: a host and a metadata service, each in its own network namespace');
  const hasIpv6 = kernelHasIpv6();
  if (!hasIpv6) step('this kernel runs without IPv6: the demo makes no IPv6 calls');
  const lab = await Lab.create({ name: 'demo', ipv6: hasIpv6 });
  try {
    const story = await Story.prepare(lab, programs);
    step('starting agent and collector on the lab\'s host ("imdswatch up")');
    const containers = await prepareContainerStory(lab, programs, story.ledger);
    const observer = await DemoObserver.start(lab, { liveView: !once, engineSocket: containers.socket });
    if (containers.notAvailable !== null)
      step(`${containers.notAvailable}: the steps with containers are left out`);
    const acts = [...story.acts(), ...containers.acts];
    const isComplete = await playAll(acts, once ? 0 : PACE_MS, interrupted);
    if (!isComplete) return once ? 1 : 0;
    if (!once) {
      process.stdout.write(`\n${bold('So far:')}\n`);
      await observer.printOffenders();
      process.stdout.write(
        `\n${bold('Open the page in a browser')} to see the advice for each team and which hosts are ready (the certificate is self-signed):\n  ${visibleText(observer.signInLink ?? '')}\n`,
      );
      process.stdout.write(
        `\n${bold('The lab runs until you press Ctrl-C.')} Lines marked IMDSv1 are calls without a session token.\n\n`,
      );
      await playAll(story.encores(), ENCORE_PACE_MS, interrupted);
    }
    await story.end();
    return await judge(story, observer, await observer.stop());
  } finally {
    await lab.close();
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
 * Prints the offenders and compares them with what the lab did. Returns the exit code. `failures` are those
 * of the observer's own processes.
 */
async function judge(story: Story, observer: DemoObserver, failures: string[]): Promise<number> {
  process.stdout.write('\n');
  await observer.printOffenders();
  const truths = await story.ledger.truths();
  const differences = [
    ...failures,
    ...(await story.ledger.surprises()),
    ...compareOffenders(truths, await observer.listOffenders()),
  ];
  if (differences.length > 0) {
    process.stderr.write(
      `\nThe offenders differ from what the lab did:\n${differences.map((line) => `  ${visibleText(line)}\n`).join('')}`,
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

function bold(text: string): string {
  return styleText('bold', text, { stream: process.stdout });
}
