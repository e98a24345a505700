/** Describes how long a certificate holds, and whether the collector's own can be served with. */
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

/** `which`: "its certificate". */
export function certificateEnd(which: string, until: Date): Finding {
  const seconds = (until.getTime() - Date.now()) / 1_000;
  if (seconds <= 0)
    return fail(`${which} ended on ${until.toISOString()}`, 'Renew it: nobody connects with it any more.');
  const text = `${which} holds for ${spanText(seconds)}`;
  return seconds < WARNED_BEFORE_SECONDS
    ? warn(text, 'Renew it; the collector takes the new file by itself.')
    : ok(text);
}

export const certificate: Check<CollectorSide> = {
  name: 'certificate',
  applies: ({ settings }) => servesTls(settings),
  examine({ settings }) {
    const own = selfSignedFiles(settings.data_dir);
    const certFile = settings.tls_cert_file ?? own.certFile;
    const keyFile = settings.tls_key_file ?? own.keyFile;
    const isOwn = settings.tls_cert_file === undefined;
    try {
      if (isOwn && statSync(certFile, { throwIfNoEntry: false }) === undefined) {
        return [ok('the self-signed certificate is made at the first start')];
      }
      const held = new X509Certificate(readFileSync(certFile));
      const found = [certificateEnd(certFile, held.validToDate)];
      if (!held.checkPrivateKey(createPrivateKey(readFileSync(keyFile)))) {
        found.push(fail(`${keyFile} is not its key`, 'Set the pair that was made together.'));
      }
      return found;
    } catch (error) {
      if (isDenied(error)) return [skip(`${certFile} or ${keyFile} needs root`, AS_ROOT)];
      return [
        fail(`${certFile}: ${messageOf(error)}`, 'Set tls_cert_file and tls_key_file to a pair in PEM.'),
      ];
    }
  },
};
