/** Tests the text of addresses in the records of the eBPF program. */
import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import fc from 'fast-check';
import { AddressTexts } from '../../../../agent/attribution/ebpf_address.ts';

describe('the text of an address', () => {
  const fresh = (bytes: Uint8Array) => new AddressTexts().textOf(Buffer.from(bytes), 0);
  const text = (hex: string) => fresh(Buffer.from(hex, 'hex'));

  it('follows RFC 5952', () => {
    assert.equal(text('fd000ec2000000000000000000000254'), 'fd00:ec2::254');
    assert.equal(text('20010db8000000000001000000000001'), '2001:db8::1:0:0:1');
    assert.equal(text('20010db8000000010001000100010001'), '2001:db8:0:1:1:1:1:1');
    assert.equal(text('00000000000000000000000000000000'), '::');
    assert.equal(text('00000000000000000000000000000001'), '::1');
    assert.equal(text('fe800000000000000000000000000000'), 'fe80::');
    assert.equal(text('20010db800000000abcd000000000000'), '2001:db8:0:0:abcd::');
    assert.equal(text('00000000000000000000ffff01020304'), '1.2.3.4');
    assert.equal(text('00000000000000000000000001020304'), '::102:304');
  });

  it('is the same from the cache', () => {
    const remembered = new AddressTexts();
    fc.assert(
      fc.property(
        fc.uint8Array({ minLength: 4, maxLength: 4 }),
        fc.constantFrom('ffff', '0000', 'fffe'),
        (ipv4, word) => {
          const bytes = Buffer.concat([Buffer.alloc(10), Buffer.from(word, 'hex'), ipv4]);
          assert.equal(remembered.textOf(bytes, 0), fresh(bytes));
          assert.equal(remembered.textOf(bytes, 0), fresh(bytes));
        },
      ),
      { numRuns: 3000 },
    );
  });

  it('agrees with the URL parser on any IPv6 address', () => {
    fc.assert(
      fc.property(
        fc.array(fc.constantFrom(0, 0, 1, 0xff, 0x10), { minLength: 16, maxLength: 16 }),
        (bytes) => {
          const result = fresh(Uint8Array.from(bytes));
          if (!result.includes('.')) assert.equal(`[${result}]`, new URL(`http://[${result}]/`).hostname);
        },
      ),
    );
  });
});
