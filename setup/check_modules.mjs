// Run with the pinned Node and the checkout as its argument: are the packages those of package-lock.json, do the native
// ones load into this very runtime, and is libbpf there? The exit code says what is missing (see setup/setup.sh).
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';

const EXIT_PACKAGES = 10;
const EXIT_NATIVE = 11;
const EXIT_LIBBPF = 12;

const root = process.argv[2];
const require = createRequire(join(root, 'package.json'));

function leave(code, reason) {
  console.error(reason);
  process.exit(code);
}

const locked = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8')).packages;
let installed;
try {
  // npm writes this file last, so a tree without it is one that was interrupted.
  installed = JSON.parse(readFileSync(join(root, 'node_modules/.package-lock.json'), 'utf8')).packages;
} catch (error) {
  leave(EXIT_PACKAGES, `packages are not installed: ${error.message}`);
}
for (const [path, wanted] of Object.entries(locked)) {
  if (path === '') continue;
  const found = installed[path];
  if (found === undefined && wanted.optional) continue; // for another platform
  if (found?.version !== wanted.version || found.integrity !== wanted.integrity) {
    leave(EXIT_PACKAGES, `${path}: ${wanted.version} is wanted, ${found?.version ?? 'nothing'} is installed`);
  }
  if (!existsSync(join(root, path, 'package.json'))) leave(EXIT_PACKAGES, `${path} is gone`);
}

// cap must have been compiled with each of our headers, which leave their marks in it.
const headers = join(root, 'agent/capture/cap_build');
try {
  const addOn = readFileSync(join(root, 'node_modules/cap/build/Release/cap.node'));
  for (const header of readdirSync(headers)) {
    const mark = /imdswatch-cap-build:[^"]+/.exec(readFileSync(join(headers, header), 'latin1'))[0];
    if (!addOn.includes(mark)) leave(EXIT_NATIVE, `cap was built without ${mark}`);
  }
} catch (error) {
  leave(EXIT_NATIVE, `cap is not built: ${error.message}`);
}

let koffi;
for (const name of ['cap', 'koffi']) {
  try {
    const loaded = require(name);
    if (name === 'koffi') koffi = loaded;
  } catch (error) {
    leave(EXIT_NATIVE, `${name} does not load into Node ${process.version}: ${error.message}`);
  }
}

try {
  koffi.load('libbpf.so.1');
} catch (error) {
  leave(EXIT_LIBBPF, `libbpf 1.x does not load: ${error.message}`);
}
