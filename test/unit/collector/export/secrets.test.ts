/** No shape has a secret: what the agent masks stays masked, and fields that the contract does not have reach nobody. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { maskArgs } from '../../../../agent/secrets/mask.ts';
import { redactPath, redactQuery, redactUserAgent } from '../../../../agent/secrets/redact.ts';
import { servedCall } from '../../../../collector/contract/served_call.ts';
import { shapedCallLines } from '../../../../collector/export/call_lines.ts';
import { encodeOtlp } from '../../../../collector/export/otlp_request.ts';
import { shapeOf } from '../../../../collector/export/shapes.ts';
import { generatedCall } from '../../../support/collector/export/generated_calls.ts';

/** A session token, a secret access key and a response body as the service gives them; all made up. */
const TOKEN = 'AQAEAEXAMPLE9x7Tq2ZkW4vLmN8pRsY3bUcJdGhFoKiEaQwXz==';
const SECRET_KEY = 'wJalrXUtnFEMI/K7MDENG/bPxRfiCYzZcanary42Q';
const BODY = '{"Code":"Success","Token":"IQoJb3JpZ2luX2VjcanaryBODY"}';
const CANARIES = [TOKEN, SECRET_KEY, 'canaryBODY', 'K7MDENG', 'EXAMPLE9x7Tq2ZkW4'];

/** A request as a process has made it, with secrets in all its texts. */
const secretRequest = {
  'url.path': redactPath('/latest/meta-data/iam/security-credentials/app'),
  'url.query': redactQuery(`X-aws-ec2-metadata-token=${TOKEN}&AWS_SECRET_ACCESS_KEY=${SECRET_KEY}`),
  'user_agent.original': redactUserAgent(`app/1.0 AWS_SECRET_ACCESS_KEY=${SECRET_KEY}`),
};
const secretArguments = maskArgs([
  ...['curl', '-H', `X-aws-ec2-metadata-token: ${TOKEN}`, '--secret-key', SECRET_KEY],
  `AWS_SECRET_ACCESS_KEY=${SECRET_KEY}`,
]);
/** Fields of a later or a hostile agent, which the contract does not have. */
const UNKNOWN = {
  'http.request.header.x-aws-ec2-metadata-token': TOKEN,
  'http.response.body.content': BODY,
  SecretAccessKey: SECRET_KEY,
};

test('no shape of a call has a token, a secret key or a body', async () => {
  const property = fc.asyncProperty(generatedCall, async (call) => {
    const polluted = polluteAll({ ...call, ...(call.outcome === 'blocked' ? {} : secretRequest) });
    const process = polluted['process'] as Record<string, unknown> | null;
    if (process !== null) process['command_args'] = secretArguments;
    const cleaned = servedCall.parse(polluted);
    const texts = [];
    for (const name of ['native', 'otlp', 'ocsf', 'ecs', 'asff'] as const) {
      const values = shapeOf(name).toValues({ stream: 'calls', call: cleaned });
      texts.push(JSON.stringify(values), ...(shapedCallLines(name)?.([cleaned]) ?? []));
      if (name !== 'otlp') continue;
      for (const format of ['protobuf', 'json'] as const) {
        texts.push(Buffer.from(await encodeOtlp(values, format)).toString('latin1'));
      }
    }
    for (const text of texts) {
      for (const canary of CANARIES) assert.ok(!text.includes(canary), `${canary} is in ${text}`);
    }
  });
  await fc.assert(property, { numRuns: 40 });
});

test('a shape for another system takes only fields that it knows', () => {
  const polluted = polluteAll(fc.sample(generatedCall, 1)[0]!);
  for (const name of ['otlp', 'ocsf', 'ecs'] as const) {
    const known = JSON.stringify(shapeOf(name).toValues({ stream: 'calls', call: polluted as never }));
    assert.ok(!known.includes('canaryBODY'), name);
  }
});

function polluteAll(value: object): Record<string, unknown> {
  const fields = Object.entries(value).map(([key, each]) => [
    key,
    // Tags have any keys: they are no place for unknown fields.
    key !== 'tags' && typeof each === 'object' && each !== null && !Array.isArray(each)
      ? polluteAll(each)
      : each,
  ]);
  return { ...Object.fromEntries(fields), ...UNKNOWN };
}
