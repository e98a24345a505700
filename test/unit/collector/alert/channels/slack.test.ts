import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { slackMessage } from '../../../../../collector/alert/channels/slack.ts';
import { ALERT, kept, sendTo } from '../../../../support/collector/alert/channel_bench.ts';
import { httpReceiver, status } from '../../../../support/collector/alert/http_receiver.ts';

test('slack: text and blocks, without links or mentions from names', async () => {
  const receiver = kept(await httpReceiver(status(200)));
  assert.deepEqual(await sendTo({ kind: 'slack', url: receiver.url }), { ok: true });
  const message = JSON.parse(receiver.received[0]!.body.toString());
  assert.equal(message.text, ':rotating_light: Role credentials over IMDSv1: /opt/ä &amp; &lt;b&gt;/run.sh');
  assert.deepEqual(
    message.blocks.map(({ type }: { type: string }) => type),
    ['header', 'section', 'context'],
  );
  assert.equal(message.blocks[0].text.text, ALERT.title);
  assert.match(
    message.blocks[2].elements[0].text,
    /<https:\/\/imdswatch\.example\.com\/offenders\/00000000000000a1\|/,
  );
});

test('slack: within its limits for every alert text', () => {
  fc.assert(
    fc.property(
      fc.string({ maxLength: 400 }),
      fc.string({ unit: 'grapheme', maxLength: 4000 }),
      (title, text) => {
        const { text: shown, blocks } = slackMessage({ ...ALERT, title, text });
        assert.ok(blocks[0]!.text!.text.length <= 150);
        assert.ok(blocks[1]!.text!.text.length <= 3000);
        for (const markup of [shown, blocks[1]!.text!.text]) {
          assert.doesNotMatch(markup, /[<>]/);
          assert.doesNotMatch(markup, /&(?!amp;|lt;|gt;)/);
        }
      },
    ),
  );
});
