import assert from 'node:assert/strict';
import { test } from 'node:test';
import fc from 'fast-check';
import { FrameEncoder, MAX_PAYLOAD_BYTES, scanFrames } from '../../../../agent/outbox/record_frame.ts';

function encodeAll(payloads: string[]): Buffer {
  const encoder = new FrameEncoder();
  return Buffer.concat(payloads.map((payload, number) => Buffer.from(encoder.encode(number, payload)!)));
}

const payloads = fc.array(fc.string({ maxLength: 300, unit: 'binary' }), { minLength: 1, maxLength: 12 });

test('framed records are found again, with number and place', () => {
  fc.assert(
    fc.property(payloads, (written) => {
      const bytes = encodeAll(written);
      const { records, incompleteAt } = scanFrames(bytes);
      assert.deepEqual(
        records.map(({ number, payload }) => [number, payload.toString('utf8')]),
        written.map((payload, number) => [number, Buffer.from(payload).toString('utf8')]),
      );
      assert.equal(incompleteAt, bytes.length);
      let at = 0;
      for (const record of records) {
        assert.equal(record.start, at);
        at = record.end;
      }
    }),
  );
});

test('cut anywhere: every whole record is found, and where to go on reading is right', () => {
  fc.assert(
    fc.property(payloads, fc.nat(), (written, cut) => {
      const whole = encodeAll(written);
      const length = cut % (whole.length + 1);
      const { records, incompleteAt } = scanFrames(whole.subarray(0, length));
      const ends = scanFrames(whole).records.map(({ end }) => end);
      assert.equal(records.length, ends.filter((end) => end <= length).length);
      const rest = scanFrames(whole.subarray(incompleteAt)).records;
      assert.equal(records.length + rest.length, written.length);
    }),
  );
});

test('after damage anywhere, only written records are found, and only damaged ones are missing', () => {
  const damage = fc.record({
    at: fc.nat(),
    length: fc.integer({ min: 1, max: 60 }),
    byte: fc.nat({ max: 255 }),
  });
  fc.assert(
    fc.property(payloads, fc.array(damage, { minLength: 1, maxLength: 4 }), (written, damages) => {
      const intact = encodeAll(written);
      const bytes = Buffer.from(intact);
      for (const { at, length, byte } of damages) {
        const start = at % bytes.length;
        bytes.fill(byte, start, Math.min(bytes.length, start + length));
      }
      const untouched = scanFrames(intact).records.filter(({ start, end }) =>
        bytes.subarray(start, end).equals(intact.subarray(start, end)),
      );
      assert.deepEqual(
        scanFrames(bytes).records.map(({ number, payload }) => [number, payload.toString('hex')]),
        untouched.map(({ number, payload }) => [number, payload.toString('hex')]),
      );
    }),
    { numRuns: 500 },
  );
});

test('arbitrary bytes are scanned without an error', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 4096 }), (bytes) => {
      const { records, incompleteAt } = scanFrames(Buffer.from(bytes));
      assert.equal(records.length, 0);
      assert.ok(incompleteAt <= bytes.length);
    }),
  );
});

test('a payload above the bound is refused', () => {
  const encoder = new FrameEncoder();
  assert.equal(encoder.encode(0, 'x'.repeat(MAX_PAYLOAD_BYTES + 1)), null);
  assert.notEqual(encoder.encode(0, 'x'.repeat(MAX_PAYLOAD_BYTES)), null);
});
