/** Makes the RPM package with rpmbuild. */
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type PackageOptions, XZ_LEVEL } from './deb.ts';
import { CONFIGURATION, DESCRIPTION, SUMMARY } from './description.ts';
import { maintainerScripts } from './maintainer_scripts.ts';
import { run } from './run.ts';
import { CODE_DIRECTORY, DOC_DIRECTORY } from './target.ts';
import type { Tree } from './tree.ts';

/** All libraries are in the package. The maintainer scripts make users. */
const REQUIRES = ['shadow-utils'];
/** rpm 4.11 of RHEL 7 and Amazon Linux 2 can read xz, and no zstd. */
const PAYLOAD = `w${XZ_LEVEL}.xzdio`;

/** Makes the package in `work` and resolves to its path in `out`. */
export async function makeRpm(
  { tree, sources, target, revision, out }: PackageOptions,
  work: string,
): Promise<string> {
  tree.settle(sources.timeSeconds);
  mkdirSync(work, { recursive: true });
  const release = { version: sources.version, revision, directory: tree.directory };
  writeFileSync(join(work, 'imdswatch.spec'), specification(tree, release));
  const env = { ...process.env, SOURCE_DATE_EPOCH: String(sources.timeSeconds), HOME: work };
  const macros = { _topdir: work, _rpmfilename: 'imdswatch.rpm', _rpmdir: work, _tmppath: join(work, 'tmp') };
  mkdirSync(macros._tmppath, { recursive: true });
  const defined = Object.entries(macros).flatMap(([name, value]) => ['--define', `${name} ${value}`]);
  const args = ['-bb', '--quiet', `--target=${target.rpm}-linux`, ...defined, join(work, 'imdswatch.spec')];
  await run('rpmbuild', args, { cwd: work, env, from: 'rpm (Debian) or rpm-build' });
  const path = join(out, `imdswatch-${sources.version}-${revision}.${target.rpm}.rpm`);
  cpSync(join(work, 'imdswatch.rpm'), path);
  return path;
}

interface Release {
  version: string;
  revision: number;
  directory: string;
}

export function specification(tree: Tree, { version, revision, directory }: Release): string {
  const scripts = [...maintainerScripts('rpm')].map(
    ([name, script]) => `%${name}\n${script.replaceAll('%', '%%')}`,
  );
  return `# What rpmbuild does of its own accord (stripping, byte code, looking for dependencies) is done already, or not wanted.
%global __os_install_post %{nil}
%global debug_package %{nil}
%global _build_id_links none
%global _binary_payload ${PAYLOAD}
%global _buildhost packages.invalid
%global use_source_date_epoch_as_buildtime 1
%global clamp_mtime_to_source_date_epoch 1
%global source_date_epoch_from_changelog 0

Name: imdswatch
Version: ${version}
Release: ${revision}
Summary: ${SUMMARY}
License: Apache-2.0 AND MIT AND BSD-3-Clause AND LGPL-2.1-or-later AND (GPL-2.0-or-later OR LGPL-3.0-or-later) AND (GPL-3.0-or-later WITH GCC-exception-3.1) AND Zlib
AutoReqProv: no
${REQUIRES.map((name) => `Requires: ${name}`).join('\n')}
Requires(pre): shadow-utils

%description
${DESCRIPTION.join('\n')}

%prep
%build
%install
mkdir -p %{buildroot}/var/lib/imdswatch/agent %{buildroot}/var/lib/imdswatch/collector
cp -a ${directory}/. %{buildroot}/

${scripts.join('\n')}
%files
%defattr(-,root,root,-)
${fileList(tree).join('\n')}
`;
}

function fileList(tree: Tree): string[] {
  const configured = new Map<string, string>(CONFIGURATION.map(({ path, group }) => [path, group]));
  const own = [CODE_DIRECTORY, DOC_DIRECTORY];
  const lines = [...own, '%dir /etc/imdswatch'];
  for (const path of tree.files()) {
    if (own.some((directory) => path.startsWith(`${directory}/`))) continue;
    const group = configured.get(path);
    lines.push(group === undefined ? path : `%config(noreplace) %attr(0640,root,${group}) ${path}`);
  }
  lines.push('%dir /var/lib/imdswatch');
  for (const whose of ['agent', 'collector']) {
    lines.push(`%dir %attr(0700,imdswatch-${whose},imdswatch-${whose}) /var/lib/imdswatch/${whose}`);
  }
  return lines;
}
