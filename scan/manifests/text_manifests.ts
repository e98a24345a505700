/**
 * Dependencies of manifests and lock files that have a line for each fact: requirements, poetry.lock, uv.lock,
 * Cargo.lock, go.mod, Gradle, Gemfile.lock, yarn.lock, pnpm-lock.yaml. Programs write them, in one form each, so lines are
 * enough, and a file of a megabyte takes milliseconds.
 */
import type { Ecosystem } from '../../known_clients/client.ts';
import { type Dependency, pinned, ranged } from './dependency.ts';

interface Line {
  text: string;
  start: number;
}

function* linesOf(text: string): Generator<Line> {
  for (let start = 0; start <= text.length; ) {
    const newline = text.indexOf('\n', start);
    const end = newline === -1 ? text.length : newline;
    // A line of generated data that is longer than this holds no dependency.
    if (end - start < MAX_LINE) yield { text: text.slice(start, end).replace(/\r$/, ''), start };
    start = end + 1;
  }
}

const MAX_LINE = 10_000;

/** Places of a part of a line. */
function part(
  { text, start }: Line,
  piece: string,
  from = 0,
): { start: number; end: number; scopeStart: number; scopeEnd: number } {
  const at = Math.max(0, text.indexOf(piece, from));
  return {
    start: start + at,
    end: start + at + Math.max(1, piece.length),
    scopeStart: start,
    scopeEnd: start + Math.max(text.length, at + 1),
  };
}

/** requirements.txt. Source: pip documentation, "Requirements File Format"; PEP 440 for the operators, PEP 508 for names. */
export function requirements(text: string): Dependency[] {
  const found: Dependency[] = [];
  for (const line of linesOf(text)) {
    const match =
      /^\s*([A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*\(?((?:(?:===?|~=|!=|<=?|>=?)\s*[\w.*+!-]+\s*,?\s*)*)/.exec(
        line.text.replace(/(^|\s)#.*$/, ''),
      );
    if (match === null || match[1] === undefined) continue;
    const name = match[1];
    const specifiers = match[2]!.trim().replace(/,$/, '');
    const exact = /(?:^|,)\s*===?\s*([\w.+!-]+)(?!\S*\*)/.exec(specifiers);
    if (exact !== null && !exact[1]!.includes('*'))
      found.push(pinned('pypi', name, exact[1]!, part(line, specifiers)));
    else
      found.push(
        ranged(
          'pypi',
          name,
          specifiers,
          pep440Bound(specifiers),
          part(line, specifiers === '' ? name : specifiers),
        ),
      );
  }
  return found;
}

function pep440Bound(specifiers: string): Dependency['below'] {
  for (const one of specifiers.split(',')) {
    const match = /^\s*(<=?|~=|==)\s*([\d.]+)(\.\*)?/.exec(one);
    if (match === null) continue;
    const [, operator, version] = match as unknown as [string, string, string];
    if (operator === '<' || operator === '<=') return { version, inclusive: operator === '<=' };
    // `~=1.4.2` allows 1.4.*; `==1.4.*` too.
    const numbers = version.replace(/\.$/, '').split('.').map(Number);
    if (operator === '~=') numbers.pop();
    if (numbers.length === 0) return null;
    numbers[numbers.length - 1]! += 1;
    return { version: numbers.join('.'), inclusive: false };
  }
  return null;
}

/** `[[package]]` tables with `name` and `version`: poetry.lock, uv.lock, Cargo.lock. */
export function tomlPackages(text: string, ecosystem: Ecosystem): Dependency[] {
  const found: Dependency[] = [];
  let name: string | null = null;
  let isPackage = false;
  for (const line of linesOf(text)) {
    if (line.text.startsWith('[')) {
      isPackage = /^\[\[package\]\]/.test(line.text);
      name = null;
    }
    if (!isPackage) continue;
    const match = /^(name|version)\s*=\s*"([^"]*)"/.exec(line.text);
    if (match === null) continue;
    if (match[1] === 'name') name = match[2]!;
    else if (name !== null) {
      found.push(pinned(ecosystem, name, match[2]!, part(line, match[2]!, line.text.indexOf('"'))));
      name = null;
    }
  }
  return found;
}

/** Source: Go Modules Reference, "go.mod files". `replace` decides which release is built. */
export function goMod(text: string): Dependency[] {
  const found = new Map<string, Dependency>();
  let block: string | null = null;
  for (const line of linesOf(text)) {
    const code = line.text.replace(/\/\/.*$/, '').trim();
    if (code === ')') block = null;
    const opened = /^(\w+)\s*\($/.exec(code);
    if (opened !== null) {
      block = opened[1]!;
      continue;
    }
    const words = code.split(/\s+/);
    const directive = block ?? words.shift() ?? '';
    if (directive === 'require' && words.length >= 2) {
      found.set(words[0]!, pinned('go', words[0]!, words[1]!, part(line, words[1]!)));
    } else if (directive === 'replace') {
      const arrow = words.indexOf('=>');
      const [path, version] = words.slice(arrow + 1);
      if (arrow === -1 || path === undefined) continue;
      found.delete(words[0]!);
      // Without a release it is a directory, which is scanned by itself.
      if (version !== undefined) found.set(words[0]!, pinned('go', path, version, part(line, version)));
    }
  }
  return [...found.values()];
}

/** gradle.lockfile: `group:name:version=configurations`. Source: Gradle user manual, "Locking Versions". */
export function gradleLock(text: string): Dependency[] {
  return [...linesOf(text)].flatMap((line) => {
    const match = /^([\w.-]+):([\w.-]+):([^=\s#]+)(?:=|$)/.exec(line.text);
    return match === null
      ? []
      : [
          pinned(
            'maven',
            `${match[1]}:${match[2]}`,
            match[3]!,
            part(line, match[3]!, match[1]!.length + match[2]!.length + 2),
          ),
        ];
  });
}

/** `    name (1.2.3)` below `specs:`. Deeper lines are requirements, not releases. */
export function gemfileLock(text: string): Dependency[] {
  return [...linesOf(text)].flatMap((line) => {
    const match = /^ {4}([\w.-]+) \(([\d][^\s)]*)\)$/.exec(line.text);
    // The platform stands behind the release: 1.2.3-x86_64-linux.
    return match === null
      ? []
      : [
          pinned(
            'gem',
            match[1]!,
            match[2]!.replace(/-(?:x86|arm|aarch|java|universal|x64|mingw|mswin).*$/, ''),
            part(line, match[2]!),
          ),
        ];
  });
}

/** yarn.lock of both forms: `"name@range":`, then `version "1.2.3"` or `version: 1.2.3`. */
export function yarnLock(text: string): Dependency[] {
  const found: Dependency[] = [];
  let names: string[] = [];
  for (const line of linesOf(text)) {
    if (/^\S/.test(line.text)) {
      const key = line.text.startsWith('#') ? [] : line.text.replace(/:$/, '').split(/,\s*/);
      names = key.flatMap((one) => {
        const match = /^"?(@?[^@"]+)@(?:npm:(@?[^@"]+)@)?/.exec(one.trim());
        return match === null ? [] : [match[2] ?? match[1]!];
      });
      continue;
    }
    const version = /^ {2}version:? "?([^"\s]+)"?$/.exec(line.text)?.[1];
    if (version === undefined) continue;
    for (const name of new Set(names)) found.push(pinned('npm', name, version, part(line, version)));
    names = [];
  }
  return found;
}

/** Keys below `packages:`: `/name/1.2.3:`, `/name@1.2.3:` or `name@1.2.3:`, with peers behind it. */
export function pnpmLock(text: string): Dependency[] {
  const found: Dependency[] = [];
  let section = '';
  for (const line of linesOf(text)) {
    const top = /^(\w+):/.exec(line.text);
    if (top !== null) section = top[1]!;
    if (section !== 'packages') continue;
    const match = /^ {2}['"]?\/?(@?[^@/'"]+(?:\/[^@/'"]+)??)[@/](\d[^('":_]*)[^'":]*['"]?:/.exec(line.text);
    if (match !== null)
      found.push(pinned('npm', match[1]!, match[2]!, part(line, match[2]!, match[1]!.length)));
  }
  return found;
}
