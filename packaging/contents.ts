/** Puts every file at its place on a host. */

import { join } from 'node:path';
import { gzipSync } from 'node:zlib';
import { addApplication } from './application.ts';
import { addLicenses, billOfMaterials } from './bill_of_materials.ts';
import type { DescribedCommand } from './commands.ts';
import { bashCompletion, fishCompletion, zshCompletion } from './completion.ts';
import { configurationFile } from './configuration.ts';
import { CONFIGURATION } from './description.ts';
import { checkLibraries } from './libraries.ts';
import { manualPages } from './manual.ts';
import type { Parts } from './parts.ts';
import { CODE_DIRECTORY, DOC_DIRECTORY, type Format, LIBRARY_DIRECTORY } from './target.ts';
import { Tree } from './tree.ts';

const FILES = join(import.meta.dirname, 'files');
const EXAMPLES = `${DOC_DIRECTORY}/examples`;
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
  tree.copy(parts.cap, `${CODE_DIRECTORY}/node_modules/cap/build/Release/cap.node`);
  tree.copy(parts.node, `${CODE_DIRECTORY}/bin/node`);
  tree.program(`${CODE_DIRECTORY}/bin/node`);
  tree.copy(parts.libraries.directory, LIBRARY_DIRECTORY);
  const isLinked = (path: string) =>
    /\.node$/.test(path) || path.startsWith(`${LIBRARY_DIRECTORY}/`) || path === `${CODE_DIRECTORY}/bin/node`;
  checkLibraries(
    tree
      .files()
      .filter(isLinked)
      .map((path) => tree.at(path)),
  );
  tree.copy(join(FILES, 'imdswatch'), '/usr/bin/imdswatch');
  tree.program('/usr/bin/imdswatch');
  addLicenses(tree, sources, runtime, parts.libraries);

  const isManaged = format !== 'tar.gz';
  if (isManaged) {
    tree.copy(join(FILES, 'sysusers.conf'), '/usr/lib/sysusers.d/imdswatch.conf');
    tree.copy(join(FILES, 'system.preset'), '/usr/lib/systemd/system-preset/50-imdswatch.preset');
  }
  for (const path of sources.files.filter((path) => path.startsWith('systemd/'))) {
    const name = path.slice('systemd/'.length);
    const isUnit = name.endsWith('.service') && isManaged;
    // The maintainer scripts need these, also where a system leaves out all documents.
    const isForScripts = name.startsWith('old-systemd-') || name.startsWith('kernel-before-');
    const directory = isForScripts ? `${CODE_DIRECTORY}/systemd` : EXAMPLES;
    tree.copy(join(sources.root, path), `${isUnit ? UNIT_DIRECTORY : directory}/${name}`);
  }
  tree.copy(join(FILES, 'openrc'), `${EXAMPLES}/openrc`);
  for (const { path, command } of CONFIGURATION) {
    tree.write(path, configurationFile(commands.find(({ name }) => name === command)!.described));
  }
  addWords(tree, parts, commands, revision, format);
  const { target, locked, libraries } = parts;
  tree.write(
    `${DOC_DIRECTORY}/sbom.cdx.json`,
    billOfMaterials({ sources, target, runtime, libraries, tree, locked }),
  );
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
