/** What we write as DER is read by OpenSSL as what was meant. */
import assert from 'node:assert/strict';
import { generateKeyPairSync, X509Certificate } from 'node:crypto';
import { it } from 'node:test';
import fc from 'fast-check';
import { selfSignedCertificate } from '../../../collector/access/certificate_der.ts';

const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' });

it('a certificate of any content', () => {
  const label = fc.stringMatching(/^[a-z][a-z0-9-]{0,20}[a-z0-9]$/);
  const content = fc.record({
    commonName: fc.stringMatching(/^[a-zA-Z0-9 ]{1,200}$/).filter((name) => name.trim() === name),
    dns: fc.uniqueArray(
      fc.tuple(label, label).map((labels) => labels.join('.')),
      { maxLength: 8 },
    ),
    ipv4: fc.uniqueArray(fc.ipV4(), { maxLength: 3 }),
    ipv6: fc.array(fc.ipV6(), { maxLength: 3 }),
    serial: fc.uint8Array({ minLength: 1, maxLength: 20 }),
    // Both ways to write a time: before and from 2050 on.
    notAfter: fc.date({ min: new Date('2027-01-01'), max: new Date('2090-01-01'), noInvalidDate: true }),
  });
  fc.assert(
    fc.property(content, ({ commonName, dns, ipv4, ipv6, serial, notAfter }) => {
      const notBefore = new Date('2026-11-22T08:00:00Z');
      const names = ['localhost', ...dns, ...ipv4, ...ipv6];
      const pem = selfSignedCertificate({
        commonName,
        names,
        serial,
        notBefore,
        notAfter,
        publicKey,
        privateKey,
      });
      const read = new X509Certificate(pem);
      assert.ok(read.verify(publicKey));
      assert.ok(read.checkPrivateKey(privateKey));
      assert.equal(read.ca, false);
      assert.equal(read.subject, `CN=${commonName}`);
      assert.equal(BigInt(`0x${read.serialNumber}`), BigInt(`0x${Buffer.from(serial).toString('hex')}`));
      assert.equal(read.validFromDate.getTime(), notBefore.getTime());
      assert.equal(read.validToDate.getTime(), Math.floor(notAfter.getTime() / 1000) * 1000);
      for (const name of ['localhost', ...dns]) assert.equal(read.checkHost(name), name);
      for (const address of [...ipv4, ...ipv6]) assert.ok(read.checkIP(address), address);
      assert.equal(read.checkHost('evil.example.org.test'), undefined);
    }),
    { numRuns: 150 },
  );
});
