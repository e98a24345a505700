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
