import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseTracepointFormat } from '../../../../agent/linux/tracepoint_format.ts';
import { FORMAT_6_18 } from '../../../support/agent/attribution/tracepoint_formats.ts';

describe('parseTracepointFormat', () => {
  it('reads the number and the fields', () => {
    const format = parseTracepointFormat(FORMAT_6_18)!;
    assert.equal(format.id, 2287);
    assert.deepEqual(format.fields.get('skaddr'), { offset: 8, size: 8 });
    assert.deepEqual(format.fields.get('protocol'), { offset: 30, size: 2 });
    assert.deepEqual(format.fields.get('daddr_v6'), { offset: 56, size: 16 });
    assert.equal(format.fields.size, 15);
  });

  it('reads text whose place is told by the record', () => {
    const format = parseTracepointFormat(
      'name: sched_process_exec\nID: 274\nformat:\n\tfield:__data_loc char[] filename;\toffset:8;\tsize:4;\tsigned:0;\n',
    );
    assert.deepEqual(format?.fields.get('filename'), { offset: 8, size: 4 });
  });

  it('refuses other text', () => {
    assert.equal(parseTracepointFormat(''), null);
    assert.equal(parseTracepointFormat('ID: 5\n'), null);
    assert.equal(parseTracepointFormat(FORMAT_6_18.replace('ID: ', 'Id ')), null);
  });
});
