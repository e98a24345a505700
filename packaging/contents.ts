/** Puts every file at its place on a host. */

import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { addApplication } from './application.ts';
import { addLicenses, billOfMaterials } from './bill_of_materials.ts';
import type { DescribedCommand } from './commands.ts';
import { bashCompletion, fishCompletion, zshCompletion } from './completion.ts';
import { configurationFile } from './configuration.ts';
import { CONFIGURATION } from './description.ts';
import { manualPages } from './manual.ts';
import type { Parts } from './parts.ts';
import { CODE_DIRECTORY, DOC_DIRECTORY, type Format } from './target.ts';
import { Tree } from './tree.ts';

const FILES = join(import.meta.dirname, 'files');
const UNIT_DIRECTORY = '/usr/lib/systemd/system';

/** Fills a new tree with the files of a host. */
export function layOut(
  directory: string,
  format: Format,
  parts: Parts,
  commands: readonly DescribedCommand[],
  revision: number,
): Tree {
  const { sources, runtime } = parts;
  const tree = new Tree(directory);
  addApplication(tree, sources);
  tree.copy(parts.page, `${CODE_DIRECTORY}/web/dist`);
  tree.copy(parts.modules, `${CODE_DIRECTORY}/node_modules`);
  tree.copy(parts.caps[format], `${CODE_DIRECTORY}/node_modules/cap/build/Release/cap.node`);
  tree.copy(parts.node, `${CODE_DIRECTORY}/bin/node`);
  tree.program(`${CODE_DIRECTORY}/bin/node`);
  tree.copy(join(FILES, 'imdswatch'), '/usr/bin/imdswatch');
  tree.program('/usr/bin/imdswatch');
  addLicenses(tree, sources, runtime);

  tree.copy(join(FILES, 'sysusers.conf'), '/usr/lib/sysusers.d/imdswatch.conf');
  tree.copy(join(FILES, 'system.preset'), '/usr/lib/systemd/system-preset/50-imdswatch.preset');
  for (const path of sources.files.filter((path) => path.startsWith('systemd/'))) {
    const name = path.slice('systemd/'.length);
    if (name.endsWith('.service')) tree.copy(join(sources.root, path), `${UNIT_DIRECTORY}/${name}`);
    if (name.endsWith('.conf')) tree.copy(join(sources.root, path), `${DOC_DIRECTORY}/examples/${name}`);
  }
  for (const { path, command } of CONFIGURATION) {
    tree.write(path, configurationFile(commands.find(({ name }) => name === command)!.described));
  }
  addWords(tree, parts, commands, revision, format);
  const { target, locked } = parts;
  tree.write(`${DOC_DIRECTORY}/sbom.cdx.json`, billOfMaterials({ sources, target, runtime, tree, locked }));
  return tree;
}

function addWords(
  tree: Tree,
  { sources }: Parts,
  commands: readonly DescribedCommand[],
  revision: number,
  format: Format,
): void {
  for (const [name, page] of manualPages(commands, sources)) {
    tree.write(`/usr/share/man/man${name.at(-1)}/${name}.gz`, gzipSync(page, { level: 9 }));
  }
  tree.write('/usr/share/bash-completion/completions/imdswatch', bashCompletion(commands));
  tree.write('/usr/share/zsh/site-functions/_imdswatch', zshCompletion(commands));
  tree.write('/usr/share/fish/vendor_completions.d/imdswatch.fish', fishCompletion(commands));
  if (format === 'deb') tree.copy(join(FILES, 'copyright'), `${DOC_DIRECTORY}/copyright`);
  else tree.copy(join(sources.root, 'LICENSE'), `${DOC_DIRECTORY}/LICENSE`);
  if (format === 'deb') {
    const date = new Date(sources.timeSeconds * 1000).toUTCString().replace('GMT', '+0000');
    const entry = `imdswatch (${sources.version}-${revision}) unstable; urgency=medium\n\n  * Release ${sources.version}.\n\n -- ${sources.maintainer}  ${date}\n`;
    tree.write(`${DOC_DIRECTORY}/changelog.Debian.gz`, gzipSync(entry, { level: 9 }));
  }
}
