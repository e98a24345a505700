/** Closes labs when this process ends. Only SIGKILL leaves something behind, for `sweepLeftovers`. */

const ENDING_SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

interface Closable {
  /** Closes without waiting. */
  closeNow(): void;
}

const liveLabs = new Set<Closable>();
let watching = false;

/** Has a lab closed when this process ends, unless `forgetLab` is called before. */
export function closeAtExit(lab: Closable): void {
  liveLabs.add(lab);
  if (watching) return;
  watching = true;
  process.on('exit', closeAllNow);
  for (const signal of ENDING_SIGNALS) {
    const onSignal = () => {
      // With another listener the program ends in its own way: it closes its labs itself, or reaches `exit`.
      if (process.listenerCount(signal) > 1) return;
      closeAllNow();
      process.removeListener(signal, onSignal);
      process.kill(process.pid, signal);
    };
    process.on(signal, onSignal);
  }
}

function closeAllNow(): void {
  for (const lab of liveLabs) lab.closeNow();
}

/** Returns false if the lab was forgotten already. */
export function forgetLab(lab: Closable): boolean {
  return liveLabs.delete(lab);
}
