/** Describes what this process really needs: the heap after a collection, without waiting for V8 to think of one. */
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Heap and buffers, in bytes. */
export function memoryInUse(): number {
  // The second run frees what finalizers of the first let go of.
  collectGarbage();
  collectGarbage();
  const { heapUsed, external } = process.memoryUsage();
  return heapUsed + external;
}
