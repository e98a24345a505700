/**
 * Checks how long a certificate is valid, and whether the collector's certificate and key belong together.
 */
import { createPrivateKey, X509Certificate } from 'node:crypto';
import { readFileSync, statSync } from 'node:fs';
import { servesTls } from '../../collector/config.ts';
import { selfSignedFiles } from '../../collector/local.ts';
import {
  AS_ROOT,
  type Check,
  type CollectorSide,
  type Finding,
  fail,
  isDenied,
  messageOf,
  ok,
  skip,
  warn,
} from './check.ts';
import { spanText } from './quantity.ts';

const WARNED_BEFORE_SECONDS = 14 * 86_400;

/**
 * Returns a finding about the end of a certificate. `subject` begins its text, for example "its certificate".
 */
export function certificateExpiry(subject: string, until: Date): Finding {
  const seconds = (until.getTime() - Date.now()) / 1_000;
  if (seconds <= 0)
    return fail(
      `${subject} expired on ${until.toISOString()}`,
      'Renew it: clients refuse an expired certificate.',
    );
  const text = `${subject} is valid for ${spanText(seconds)}`;
  return seconds < WARNED_BEFORE_SECONDS
    ? warn(text, 'Renew it. The collector loads the new file without a restart.')
    : ok(text);
}

export const certificate: Check<CollectorSide> = {
  name: 'certificate',
  applies: ({ settings }) => servesTls(settings),
  run({ settings }) {
    const selfSigned = selfSignedFiles(settings.data_dir);
    const certFile = settings.tls_cert_file ?? selfSigned.certFile;
    const keyFile = settings.tls_key_file ?? selfSigned.keyFile;
    const isSelfSigned = settings.tls_cert_file === undefined;
    try {
      if (isSelfSigned && statSync(certFile, { throwIfNoEntry: false }) === undefined) {
        return [ok('the collector makes its self-signed certificate at its first start')];
      }
      const parsed = new X509Certificate(readFileSync(certFile));
      const findings = [certificateExpiry(certFile, parsed.validToDate)];
      if (!parsed.checkPrivateKey(createPrivateKey(readFileSync(keyFile)))) {
        findings.push(
          fail(
            `${keyFile} is not the private key of ${certFile}`,
            'Set tls_cert_file and tls_key_file to a certificate and its own key.',
          ),
        );
      }
      return findings;
    } catch (error) {
      if (isDenied(error)) return [skip(`${certFile} or ${keyFile} cannot be read without root`, AS_ROOT)];
      return [
        fail(
          `${certFile}: ${messageOf(error)}`,
          'Set tls_cert_file and tls_key_file to a certificate and its key in PEM format.',
        ),
      ];
    }
  },
};
