/**
 * `imdswatch demo`: the main job on a lab of network namespaces, where real programs call a metadata service.
 * The first thing that a newcomer runs; with `--once` also a test of the whole product against what really happened.
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
      'Run the story through, print the offenders and exit: 0 when they are what the lab did, else 1.',
    ),
});

/** Time for the eye to follow, between acts of the live view. */
const PACE_MS = 700;
const ENCORE_PACE_MS = 2500;

/** Resolves to the exit code. Throws OperatorError: 3 when not root or programs are missing. */
export async function run(argv: string[]): Promise<number> {
  const { settings } = loadSettings(demoSettings, {
    command: 'demo',
    summary:
      'Builds a lab of network namespaces with a metadata service and real clients, and shows what is found.',
    argv,
    env: process.env,
  });
  const interrupt = new AbortController();
  const onSignal = () => {
    // The second time somebody means it: the lab still removes itself as the process exits.
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
      'The demo builds network namespaces and captures packets, which needs root (CAP_SYS_ADMIN, CAP_NET_ADMIN, CAP_NET_RAW, CAP_BPF): run it as "sudo imdswatch demo".',
    );
  }
  const programs = await findPrograms();
  await installSdks(step);
  step('building a lab: a host and a metadata service, each in a network namespace of its own');
  const hasIpv6 = kernelHasIpv6();
  if (!hasIpv6) step('this kernel runs without IPv6: the story leaves it out');
  const lab = await Lab.create({ name: 'demo', ipv6: hasIpv6 });
  try {
    const story = await Story.prepare(lab, programs);
    step('starting agent and collector on the lab\'s host ("imdswatch up")');
    const containers = await prepareContainerStory(lab, programs, story.ledger);
    const observer = await DemoObserver.start(lab, { liveView: !once, engineSocket: containers.socket });
    if (containers.notAvailable !== null) step(`${containers.notAvailable}: the second act is left out`);
    const acts = [...story.acts(), ...containers.acts];
    const isThrough = await playAll(acts, once ? 0 : PACE_MS, interrupted);
    if (!isThrough) return once ? 1 : 0;
    if (!once) {
      process.stdout.write(`\n${bold('So far:')}\n`);
      await observer.printOffenders();
      process.stdout.write(
        `\n${bold('The same for a browser,')} with what to tell each team, and which hosts are ready (the certificate is the demo's own):\n  ${visibleText(observer.signInLink ?? '')}\n`,
      );
      process.stdout.write(
        `\n${bold('The lab goes on until Ctrl-C.')} Lines marked v1 are calls without a session token.\n\n`,
      );
      await playAll(story.encores(), ENCORE_PACE_MS, interrupted);
    }
    await story.end();
    return await judge(story, observer, await observer.stop());
  } finally {
    await lab.close();
  }
}

/** False when it was interrupted before the last act. */
async function playAll(acts: Iterable<Act>, paceMs: number, interrupted: AbortSignal): Promise<boolean> {
  for (const act of acts) {
    if (interrupted.aborted) return false;
    step(act.says);
    await act.play();
    if (paceMs > 0) await sleep(paceMs, undefined, { signal: interrupted }).catch(() => {});
  }
  return true;
}

/** Prints the offenders, and holds them against what the lab did. `trouble`: what the observer itself got wrong. */
async function judge(story: Story, observer: DemoObserver, trouble: string[]): Promise<number> {
  process.stdout.write('\n');
  await observer.printOffenders();
  const truths = await story.ledger.truths();
  const differences = [
    ...trouble,
    ...(await story.ledger.surprises()),
    ...compareOffenders(truths, await observer.listOffenders()),
  ];
  if (differences.length > 0) {
    process.stderr.write(
      `\nThis is not what the lab did:\n${differences.map((line) => `  ${visibleText(line)}\n`).join('')}`,
    );
    return 1;
  }
  const tallies = tallyByIdentity(truths);
  const sum = (of: 'v1' | 'v2' | 'credentialsOverV1') =>
    tallies.reduce((total, tally) => total + tally[of], 0);
  process.stdout.write(`
${bold('What this says')}
Each row is a program that asked for metadata without a session token (IMDSv1). Where credentials went out
that way, whoever can make the program fetch a URL can have them: that is what happened to the web app.
A fallback is a program that can do IMDSv2 but got no token: raise the hop limit, not the program's version.
Rows are exactly what the lab did, by the metadata service's own log: ${truths.length} calls, ${sum('v1')} of them IMDSv1 by
${tallies.filter(({ v1 }) => v1 > 0).length} programs, credentials handed out over IMDSv1 ${sum('credentialsOverV1')} times; ${sum('v2')} calls were IMDSv2.

${bold('How to go on')}
  sudo imdswatch watch        this host's own calls, live
  sudo imdswatch up           record them; then "imdswatch offenders" lists who must change
`);
  return 0;
}

function step(text: string): void {
  process.stdout.write(`${styleText('cyan', '●', { stream: process.stdout })} ${visibleText(text)}\n`);
}

function bold(text: string): string {
  return styleText('bold', text, { stream: process.stdout });
}
