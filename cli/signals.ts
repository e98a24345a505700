/**
 * Resolves with the first SIGTERM or SIGINT. Both signals have their default action from then on, so a second
 * one of either kind ends the process at once.
 */
export function untilSignal(): Promise<NodeJS.Signals> {
  const signals = ['SIGTERM', 'SIGINT'] as const;
  return new Promise((resolve) => {
    const received = (signal: NodeJS.Signals) => {
      for (const name of signals) process.off(name, received);
      resolve(signal);
    };
    for (const name of signals) process.on(name, received);
  });
}

/**
 * Keeps the process alive when its terminal is closed (SIGHUP, any number of them) or the reader of its output has gone.
 * `lost` is called at each SIGHUP. Returns a function after which SIGHUP ends the process again.
 */
export function withoutTerminal(lost: () => void): () => void {
  process.on('SIGHUP', lost);
  for (const stream of [process.stdout, process.stderr]) stream.on('error', () => {});
  return () => process.off('SIGHUP', lost);
}
