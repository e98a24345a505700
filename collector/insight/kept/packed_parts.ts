/** Packs answers into compressed JSON, a part at a time, so that nothing else waits for long while a large one is packed. */
import { promisify } from 'node:util';
import { constants, gunzip, gzip } from 'node:zlib';

const compress = promisify(gzip);
const decompress = promisify(gunzip);

export async function packParts(parts: readonly unknown[]): Promise<Uint8Array[]> {
  const packed: Uint8Array[] = [];
  for (const part of parts)
    packed.push(await compress(JSON.stringify(part), { level: constants.Z_BEST_SPEED }));
  return packed;
}

/** Throws where a part is damaged. */
export async function unpackParts(packed: readonly Uint8Array[]): Promise<unknown[]> {
  const parts: unknown[] = [];
  for (const part of packed) parts.push(JSON.parse((await decompress(part)).toString('utf8')));
  return parts;
}

/** Returns the parts of a list: each has `size` items, the last one what is left. At least one part. */
export function inParts<T>(items: readonly T[], size: number): T[][] {
  const parts: T[][] = [];
  for (let from = 0; from < items.length; from += size) parts.push(items.slice(from, from + size));
  return parts.length === 0 ? [[]] : parts;
}
