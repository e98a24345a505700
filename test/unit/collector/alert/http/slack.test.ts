/** Tests the preset for Slack against the limits of Block Kit. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { ALERT } from '../../../../support/collector/alert/channel_bench.ts';
import { bodyOf } from '../../../../support/collector/alert/preset_bench.ts';

interface SlackMessage {
  text: string;
  blocks: { type: string; text?: { text: string }; elements?: { text: string }[] }[];
}
const slackMessage = (given = {}) =>
  bodyOf('slack', { url: 'https://hooks.example.com/x' }, { ...ALERT, ...given }) as Promise<SlackMessage>;

test('slack: text and blocks, without links or mentions from names', async () => {
  const message = await slackMessage();
  assert.equal(message.text, ':rotating_light: Role credentials over IMDSv1: /opt/ä &amp; &lt;b&gt;/run.sh');
  assert.deepEqual(
    message.blocks.map(({ type }) => type),
    ['header', 'section', 'context'],
  );
  assert.equal(message.blocks[0]!.text!.text, ALERT.title);
  assert.equal(
    message.blocks[2]!.elements![0]!.text,
    '*critical* · credentials_over_v1 · 2026-11-22T12:00:00.000000Z · <https://imdswatch.example.com/offenders/00000000000000a1|Open in imdswatch>',
  );
  const over = await slackMessage({ state: 'resolved', link: null });
  assert.match(over.text, /^:white_check_mark: /);
  assert.match(over.blocks[2]!.elements![0]!.text, /^\*resolved\* · credentials_over_v1 · \S+$/);
});

test('slack: within its limits for every alert text', async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.string({ maxLength: 400 }),
      fc.string({ unit: 'grapheme', maxLength: 4000 }),
      async (title, text) => {
        const { text: shown, blocks } = await slackMessage({ title, text });
        assert.ok(blocks[0]!.text!.text.length <= 150);
        assert.ok(blocks[1]!.text!.text.length <= 3000);
        for (const markup of [shown, blocks[1]!.text!.text]) {
          assert.doesNotMatch(markup, /[<>]/);
          assert.doesNotMatch(markup, /&(?!amp;|lt;|gt;)/);
        }
      },
    ),
    { numRuns: 50 },
  );
});
