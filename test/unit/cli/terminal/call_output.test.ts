/** Tests the summary that `watch` and `read` print at their end. */
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { CallPrinter } from '../../../../cli/terminal/call_output.ts';
import { makeCall } from '../../../support/collector/calls.ts';

test('calls to endpoints without versions are not counted as IMDSv2', () => {
  const printer = new CallPrinter({ json: true, color: 'never' }, { write: () => true });
  printer.print(makeCall());
  printer.print(makeCall({ 'imds.version': 2 }));
  printer.print(makeCall({ 'imds.version': null, 'imds.endpoint': 'ecs' }));
  printer.print(makeCall({ 'imds.version': null, outcome: 'blocked' }));
  assert.equal(
    printer.summary(),
    '3 calls: 1 IMDSv1, 1 IMDSv2, 1 to endpoints without versions. Attempts blocked on this host: 1.',
  );
});
