/** Checks whether a collector listens where its settings say, and whether those go together. */
import { connect } from 'node:net';
import { checkCollectorSettings, isAnyAddress, listenAddress } from '../../collector/config.ts';
import { type Check, type CollectorSide, fail, messageOf, ok, warn } from './check.ts';

const TIMEOUT_MS = 2_000;

export const listening: Check<CollectorSide> = {
  name: 'listening',
  applies: ({ settings }) => listenAddress(settings).port !== 0,
  async examine({ settings }) {
    try {
      checkCollectorSettings(settings);
    } catch (error) {
      return [fail(messageOf(error), 'The collector does not start like this.')];
    }
    const { host, port } = listenAddress(settings);
    const asked = isAnyAddress(host) ? (host.includes(':') ? '::1' : '127.0.0.1') : host;
    const trouble = await knock(asked, port);
    return [
      trouble === null
        ? ok(`something listens at ${settings.listen}`)
        : warn(
            `nothing listens at ${settings.listen} (${trouble})`,
            'Start it: systemctl enable --now imdswatch-collector.',
          ),
    ];
  },
};

/** Null: somebody answered. */
function knock(host: string, port: number): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: TIMEOUT_MS });
    const end = (trouble: string | null) => {
      resolve(trouble);
      socket.destroy();
    };
    socket.on('connect', () => end(null));
    socket.on('timeout', () => end('no answer'));
    socket.on('error', (error: NodeJS.ErrnoException) => end(error.code ?? error.message));
  });
}
