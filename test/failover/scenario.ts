/** Runs one scenario on a stage: the agents make calls, something breaks, and then every call is counted. */
import type { Pauses, Stage } from './stage.ts';

export interface Outcome {
  remarks: string[];
  wrong: string[];
}

export interface Scenario {
  /** A letter for the command line, and a name for people. */
  letter: string;
  name: string;
  /** Breaks and mends. Returns figures for people, and what is not as it must be. */
  happen(stage: Stage): Promise<Outcome>;
  /** Bounds on the pauses. */
  limits: Pauses;
}

/** Returns what was wrong. */
export async function runScenario(scenario: Scenario, stage: Stage): Promise<string[]> {
  const { letter, name, limits } = scenario;
  const beganMs = performance.now();
  stage.takePauses();
  stage.fleet.make(true);
  const { remarks, wrong } = await scenario.happen(stage);
  const counted = await stage.count();
  const pauses = stage.takePauses();
  wrong.push(...counted.wrong);
  for (const key of ['ofAll', 'ofOne', 'page'] as const) {
    if (pauses[key] > limits[key]) {
      wrong.push(
        `longest pause (${key}) of ${seconds(pauses[key])}, and the limit is ${seconds(limits[key])}`,
      );
    }
  }
  print(
    `${letter}. ${name} (${seconds(performance.now() - beganMs)}): ${wrong.length === 0 ? 'right' : 'WRONG'}`,
  );
  print(
    `   longest without an acknowledgement ${seconds(pauses.ofAll)} (one agent: ${seconds(pauses.ofOne)}), page away ${seconds(pauses.page)}`,
  );
  for (const remark of remarks) print(`   ${remark}`);
  print(`   ${counted.text}`);
  for (const line of wrong) print(`   WRONG: ${line}`);
  return wrong;
}

export function seconds(ms: number): string {
  return `${(ms / 1000).toFixed(1)} s`;
}

export function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
