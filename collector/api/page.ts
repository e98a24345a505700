/** Serves the page as it was built. Only files that a listing of the directory has found are ever opened. */
import { readdir, readFile, stat } from 'node:fs/promises';
import { extname, join } from 'node:path';
import type { Context } from 'hono';
import type { ApiEnv } from './env.ts';
import { Problem, problemResponse } from './problem.ts';

const TYPES: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json',
  '.map': 'application/json',
  '.webmanifest': 'application/manifest+json',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.ico': 'image/x-icon',
  '.woff2': 'font/woff2',
  '.txt': 'text/plain; charset=utf-8',
};
const ENCODINGS = [
  { name: 'br', ending: '.br' },
  { name: 'gzip', ending: '.gz' },
] as const;
const INDEX = '/index.html';
/** Vite puts what has its content's hash in its name here. */
const HASHED = '/assets/';
/** One host or one workload: its id may hold dots, as `ip-10-0-0-1.eu-west-1.compute.internal` does, and is no name of a file. */
const BELOW_A_LIST = /^\/(?:hosts|offenders)\/./;
const IMMUTABLE = 'public, max-age=31536000, immutable';
const NOT_BUILT =
  '<!doctype html><html lang="en"><meta charset="utf-8"><title>imdswatch</title><h1>The page is not built</h1><p>Run <code>npm run build</code> where imdswatch is installed, and load this again. The API works without it: <code>/api/v1/openapi.json</code>.</p></html>';

interface Built {
  /** Of the index: a new build makes a new listing. */
  modifiedMs: number;
  /** Paths as asked for, such as `/assets/main-1a2b.js`. */
  files: ReadonlySet<string>;
}

export function pageHandler(directory: string): (c: Context<ApiEnv>) => Promise<Response> {
  let built: Built | null = null;
  const listing = async (): Promise<Built | null> => {
    const modifiedMs = await stat(join(directory, INDEX)).then(
      ({ mtimeMs }) => mtimeMs,
      () => null,
    );
    if (modifiedMs === null) return null;
    if (built?.modifiedMs !== modifiedMs) built = { modifiedMs, files: await filesIn(directory) };
    return built;
  };
  return async (c) => {
    const found = await listing();
    if (found === null) return c.html(NOT_BUILT, 503, { 'Retry-After': '10' });
    const path = c.req.path;
    // Deep links of the page are its own business; whatever else has an ending is a file.
    const isDeepLink = extname(path) === '' || BELOW_A_LIST.test(path);
    const file = found.files.has(path) ? path : isDeepLink ? INDEX : null;
    if (file === null) return problemResponse(c, new Problem(404, `There is no file ${path}.`));
    const encoding = encodingFor(c.req.header('accept-encoding') ?? '', file, found.files);
    const body = await readFile(join(directory, file + (encoding?.ending ?? '')));
    return c.body(new Uint8Array(body), 200, {
      'Content-Type': TYPES[extname(file)] ?? 'application/octet-stream',
      'Cache-Control': file.startsWith(HASHED) ? IMMUTABLE : 'no-cache',
      Vary: 'Accept-Encoding',
      ...(encoding !== null && { 'Content-Encoding': encoding.name }),
    });
  };
}

async function filesIn(directory: string): Promise<ReadonlySet<string>> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return new Set(
    entries
      // A symbolic link is no file here: it could lead anywhere.
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(directory.length)),
  );
}

function encodingFor(accepted: string, file: string, files: ReadonlySet<string>) {
  const names = accepted
    .split(',')
    .map((part) =>
      part
        .trim()
        .toLowerCase()
        .split(/\s*;\s*/),
    )
    .filter(([, quality]) => quality === undefined || !/^q=0(\.0*)?$/.test(quality))
    .map(([name]) => name);
  return ENCODINGS.find(({ name, ending }) => names.includes(name) && files.has(file + ending)) ?? null;
}
