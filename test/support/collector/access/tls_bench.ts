/** Servers with TLS on loopback and requests to them, which are closed after each test. */
import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import type { IncomingMessage } from 'node:http';
import { createServer, request, type Server } from 'node:https';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { after, afterEach } from 'node:test';
import type { ConnectionOptions } from 'node:tls';
import { pino } from 'pino';
import { ServerTls, type TlsSettings } from '../../../../collector/access/tls.ts';
import { OperatorError } from '../../../../common/operator_error.ts';

export const lines: string[] = [];
export const log = pino({ level: 'trace' }, { write: (line: string) => lines.push(line) });
export const directory = mkdtempSync(join(tmpdir(), 'imdswatch-tls-'));
export const endings: (() => unknown)[] = [];
after(() => rmSync(directory, { recursive: true, force: true }));
afterEach(async () => {
  for (const ending of endings.splice(0).reverse()) await ending();
  lines.length = 0;
});

export function settings(changes: Partial<TlsSettings>): TlsSettings {
  return { data_dir: directory, listen: '127.0.0.1:0', tls_self_signed: false, ...changes } as TlsSettings;
}

export async function tlsOf(changes: Partial<TlsSettings>, now?: () => number): Promise<ServerTls> {
  const tls = (await ServerTls.fromSettings(settings(changes), log, now))!;
  endings.push(() => tls.close());
  return tls;
}

export async function serve(
  tls: ServerTls,
  onRequest: (request: IncomingMessage) => unknown,
): Promise<number> {
  const server: Server = createServer(tls.options, async (incoming, response) => {
    response.end(JSON.stringify(await onRequest(incoming)));
  });
  tls.follow(server);
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  endings.push(
    () =>
      new Promise((resolve) => {
        server.close(resolve);
        server.closeAllConnections();
      }),
  );
  return (server.address() as AddressInfo).port;
}

export function ask(
  port: number,
  options: ConnectionOptions & { headers?: Record<string, string> },
): Promise<unknown> {
  return new Promise((resolve, reject) => {
    request(
      { host: '127.0.0.1', port, path: '/', agent: false, servername: 'localhost', ...options },
      (response) => {
        let text = '';
        response.on('data', (data) => {
          text += data;
        });
        response.on('end', () => resolve(JSON.parse(text)));
      },
    )
      .on('error', reject)
      .end();
  });
}

export async function refusal(changes: Partial<TlsSettings>, now?: () => number): Promise<OperatorError> {
  try {
    await tlsOf(changes, now);
  } catch (error) {
    assert.ok(error instanceof OperatorError, String(error));
    return error;
  }
  return assert.fail('was accepted');
}
