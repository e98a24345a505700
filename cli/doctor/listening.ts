/** Checks that the collector's settings are consistent, and that a program listens at its address. */
import { connect } from 'node:net';
import { checkCollectorSettings, isAnyAddress, listenAddress } from '../../collector/config.ts';
import { type Check, type CollectorSide, fail, messageOf, ok, warn } from './check.ts';

const TIMEOUT_MS = 2_000;

export const listening: Check<CollectorSide> = {
  name: 'listening',
  applies: ({ settings }) => listenAddress(settings).port !== 0,
  async run({ settings }) {
    try {
      checkCollectorSettings(settings);
    } catch (error) {
      return [fail(messageOf(error), 'Correct these settings: the collector does not start with them.')];
    }
    const { host, port } = listenAddress(settings);
    const target = isAnyAddress(host) ? (host.includes(':') ? '::1' : '127.0.0.1') : host;
    const failure = await connectTo(target, port);
    return [
      failure === null
        ? ok(`a program listens at ${settings.listen}`)
        : warn(
            `no program listens at ${settings.listen} (${failure})`,
            'Start the collector: systemctl enable --now imdswatch-collector.',
          ),
    ];
  },
};

/** Returns null when the connection was accepted, otherwise why it was not. */
function connectTo(host: string, port: number): Promise<string | null> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: TIMEOUT_MS });
    const settle = (failure: string | null) => {
      resolve(failure);
      socket.destroy();
    };
    socket.on('connect', () => settle(null));
    socket.on('timeout', () => settle('no answer'));
    socket.on('error', (error: NodeJS.ErrnoException) => settle(error.code ?? error.message));
  });
}
