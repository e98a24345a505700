/** Serves the page as it was built. Only files that a listing of the directory has found are ever opened. */
import { readdir, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { serveStatic } from '@hono/node-server/serve-static';
import type { Context } from 'hono';
import type { ApiEnv } from './env.ts';
import { Problem, problemResponse } from './problem.ts';

const INDEX = '/index.html';
/** Vite puts files here whose names hold a hash of their content. */
const HASHED = '/assets/';
/**
 * Files have these paths: what Vite built, and names with a dot at the top. An address such as
 * `/hosts/ip-10-0-0-1.eu-west-1.compute.internal` names a host, a workload or a group, which may hold dots.
 */
const FILE_PATH = /^\/(?:assets\/.*|[^/]*\.[^/]*)$/;
const IMMUTABLE = 'public, max-age=31536000, immutable';
const NOT_BUILT =
  '<!doctype html><html lang="en"><meta charset="utf-8"><title>imdswatch</title><h1>The page is not built</h1><p>Run <code>npm run build</code> where imdswatch is installed, and load this again. The API works without it: <code>/api/v1/openapi.json</code>.</p></html>';

interface Build {
  /** Modification time of the index: a new build makes a new listing. */
  modifiedMs: number;
  /** Paths as browsers ask for them, such as `/assets/main-1a2b.js`. */
  files: ReadonlySet<string>;
}

export function pageHandler(directory: string): (c: Context<ApiEnv>) => Promise<Response> {
  let build: Build | null = null;
  const currentBuild = async (): Promise<Build | null> => {
    const modifiedMs = await stat(join(directory, INDEX)).then(
      ({ mtimeMs }) => mtimeMs,
      () => null,
    );
    if (modifiedMs === null) return null;
    if (build?.modifiedMs !== modifiedMs) build = { modifiedMs, files: await filesIn(directory) };
    return build;
  };
  return async (c) => {
    const found = await currentBuild();
    if (found === null) return c.html(NOT_BUILT, 503, { 'Retry-After': '10' });
    const path = c.req.path;
    // The page itself answers its deep links.
    const file = found.files.has(path) ? path : FILE_PATH.test(path) ? null : INDEX;
    const response = file === null ? undefined : await serveFile(c, directory, file);
    return response ?? problemResponse(c, new Problem(404, `There is no file ${path}.`));
  };
}

/** Returns undefined where the file has disappeared since the listing. */
async function serveFile(c: Context<ApiEnv>, directory: string, file: string): Promise<Response | undefined> {
  c.header('Cache-Control', file.startsWith(HASHED) ? IMMUTABLE : 'no-cache');
  const serve = serveStatic<ApiEnv>({ root: directory, path: file, precompressed: true });
  const response = (await serve(c, async () => {})) ?? undefined;
  // serveStatic sets it on compressed answers only, and caches need it on all of them.
  response?.headers.set('Vary', 'Accept-Encoding');
  return response;
}

/** Symbolic links are left out, because they could lead anywhere. */
async function filesIn(directory: string): Promise<ReadonlySet<string>> {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true });
  return new Set(
    entries
      .filter((entry) => entry.isFile())
      .map((entry) => join(entry.parentPath, entry.name).slice(directory.length)),
  );
}
