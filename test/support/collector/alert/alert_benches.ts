/** Benches and receivers for the tests of alerts, which are removed at the end. */
import { after } from 'node:test';
import { newDestination } from '../../../../collector/contract/destination.ts';
import { ALL_RULES, Bench } from './bench.ts';
import { httpReceiver } from './http_receiver.ts';

const opened: { close(): Promise<void> }[] = [];
const benches: Bench[] = [];
after(async () => {
  for (const bench of benches) await bench.remove();
  for (const started of opened) await started.close();
});

export function benchOf(...options: ConstructorParameters<typeof Bench>): Bench {
  const bench = new Bench(...options);
  benches.push(bench);
  return bench;
}

export async function receiver(...options: Parameters<typeof httpReceiver>) {
  const started = await httpReceiver(...options);
  opened.push(started);
  return started;
}

export const SECRET = 'S3CRET-of-the-webhook';
export function webhook(name: string, url: string, rules: readonly string[] = ALL_RULES) {
  return newDestination.parse({ name, rules, config: { kind: 'http', values: { url, secret: SECRET } } });
}

export function idsOf(received: { body: Buffer }[]): string[] {
  return received.map(({ body }) => JSON.parse(body.toString()).id);
}
