/** Reads scripts and sources for calls that have no token. */

import { tokenSnippet } from '../../known_clients/snippets.ts';
import { clientOf } from '../../known_clients/table.ts';
import type { Finding } from '../finding.ts';
import type { Level } from '../level.ts';
import type { Candidate, Reader } from '../reader.ts';
import type { SourceFile } from '../source_file.ts';
import type { CallSite, CallSiteKind } from './call_site.ts';
import { findCalls, mayCall } from './callers.ts';
import { CLIENT_NEEDLES } from './client_calls.ts';
import { languageOf } from './language_of.ts';

/** One of these is in every file that has a call. */
const NEEDLES = [
  '169.254.',
  ':ec2:',
  ':EC2:',
  ':0ec2:',
  ':a9fe',
  'instance-data',
  '2852039166',
  '0xa9',
  '0xA9',
  '0251.0376',
].concat(['iam_role=auto', 'imdsv1only', ...CLIENT_NEEDLES]);
const HEAD = 2000;
const LEVELS: Record<CallSiteKind, Level> = {
  request: 'error',
  client: 'error',
  address: 'warning',
  unchecked_token: 'note',
};

export const callersReader: Reader = {
  name: 'callers',
  takes(candidate: Candidate): boolean {
    return (
      !isReport(candidate) &&
      NEEDLES.some((needle) => candidate.contains(needle)) &&
      languageOf(candidate.path, candidate.source().text.slice(0, HEAD)) !== null
    );
  },
  read(files) {
    const findings: Finding[] = [];
    let resources = 0;
    for (const file of files) {
      const language = languageOf(file.path, file.text.slice(0, HEAD));
      if (language === null || !mayCall(file.text)) continue;
      const sites = findCalls(file.text, language);
      resources += sites.length;
      for (const site of sites) findings.push(findingOf(file, site));
    }
    return { findings, problems: [], resources };
  },
};

/** Reports of scans are kept as baselines. They quote calls and make none. */
function isReport(candidate: Candidate): boolean {
  return /\.(?:json|sarif)$/.test(candidate.name) && candidate.contains('"imdsv1-call"');
}

/** Makes the finding of a call site. Readers of other files use it for the scripts in them. */
export function findingOf(file: SourceFile, site: CallSite): Finding {
  const asked = file.text.slice(site.start, site.end).replace(/\s+/g, ' ').slice(0, 200);
  return {
    rule: site.kind === 'unchecked_token' ? 'imdsv1-fallback' : 'imdsv1-call',
    level: LEVELS[site.kind],
    path: file.path,
    range: file.range(site.start, site.end),
    scope: file.range(site.scopeStart, site.scopeEnd),
    subject: site.by ?? 'metadata URL',
    message: messageOf(site),
    evidence: [],
    remedy: remedyOf(site),
    elsewhere: [],
    identity: `${site.by ?? ''} ${asked}`.trim(),
  };
}

function messageOf({ kind, by, why }: CallSite): string {
  switch (kind) {
    case 'request':
      return `${by} asks the metadata service without a session token. The call fails where tokens are required.`;
    case 'client':
      return `${why} The call fails where tokens are required.`;
    case 'unchecked_token':
      return `${by} sends a token, and the script goes on when it gets none. The variable is empty then, curl leaves the header out, and the call is IMDSv1.`;
    case 'address':
      return 'The code holds a URL of the metadata service, and nothing in this file sends a session token. The code that uses the URL was not recognised, so it was not judged.';
  }
}

function remedyOf({ kind, by, language, clientId }: CallSite): string {
  if (kind === 'client' && clientId !== undefined) {
    const { upgrade, fallbackOff } = clientOf(clientId);
    return [...upgrade, ...fallbackOff]
      .map(({ text, code }) => (code === null ? text : `${text} ${code}`))
      .join('\n');
  }
  const { text, code } = tokenSnippet(
    language,
    by === 'wget' ? 'Wget' : by?.startsWith('requests.') === true ? 'requests' : null,
  );
  const step = `${text}\n${code}`;
  return kind === 'address' ? `Check what uses it. ${step}` : step;
}
