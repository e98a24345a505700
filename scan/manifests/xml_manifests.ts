/**
 * Dependencies of XML files: pom.xml, *.csproj and its like, Directory.Packages.props, packages.config. saxes keeps
 * positions, resolves no external entities and has no depth of its own to exhaust (60 KB, ISC, one dependency; the DOM
 * of most test browsers reads with it).
 */
import { SaxesParser } from 'saxes';
import { type Dependency, pinned, ranged } from './dependency.ts';

interface Element {
  name: string;
  attributes: Record<string, string>;
  start: number;
  text: string;
  textStart: number;
  children: Element[];
  end: number;
}

const MAX_ELEMENTS = 200_000;
const MAX_DEPTH = 200;

/** Calls `onElement` for each element at its end. Reads up to the first error. */
function readXml(text: string, onElement: (element: Element, path: readonly Element[]) => void): void {
  const parser = new SaxesParser({ xmlns: false, position: true, fragment: false });
  const open: Element[] = [];
  let count = 0;
  let failed = false;
  parser.on('error', () => {
    failed = true;
  });
  parser.on('opentag', ({ name, attributes }) => {
    count += 1;
    if (count > MAX_ELEMENTS || open.length > MAX_DEPTH) failed = true;
    if (failed) return;
    const start = Math.max(0, text.lastIndexOf('<', parser.position - 1));
    open.push({
      name,
      attributes: attributes as Record<string, string>,
      start,
      text: '',
      textStart: parser.position,
      children: [],
      end: parser.position,
    });
  });
  parser.on('text', (value) => {
    const element = open.at(-1);
    if (!failed && element !== undefined && element.text.length < 10_000) element.text += value;
  });
  parser.on('closetag', () => {
    const element = failed ? undefined : open.pop();
    if (element === undefined) return;
    element.end = parser.position;
    onElement(element, open);
    open.at(-1)?.children.push(element);
  });
  try {
    parser.write(text).close();
  } catch {
    // The elements before the error have been given out.
  }
}

function child(element: Element, name: string): Element | undefined {
  return element.children.find((one) => one.name === name);
}

/** Source: Maven POM reference. Properties are resolved within the file; what its parent sets is not known here. */
export function pom(text: string): Dependency[] {
  const properties = new Map<string, string>();
  const entries: { group: string; artifact: string; version: Element; element: Element }[] = [];
  readXml(text, (element, path) => {
    if (path.at(-1)?.name === 'properties') properties.set(element.name, element.text.trim());
    if (path.length === 1 && element.name === 'version')
      properties.set('project.version', element.text.trim());
    if (element.name !== 'dependency') return;
    const version = child(element, 'version');
    const group = child(element, 'groupId')?.text.trim();
    const artifact = child(element, 'artifactId')?.text.trim();
    if (version !== undefined && group !== undefined && artifact !== undefined)
      entries.push({ group, artifact, version, element });
  });
  return entries.flatMap(({ group, artifact, version, element }) => {
    const value = version.text
      .trim()
      .replace(/\$\{([^}]+)\}/g, (whole, name: string) => properties.get(name) ?? whole);
    const place = { ...textPlace(text, version), scopeStart: element.start, scopeEnd: element.end };
    const name = `${group}:${artifact}`;
    if (/^\d/.test(value)) return [pinned('maven', name, value, place)];
    return [ranged('maven', name, value, intervalBound(value), place)];
  });
}

/** Source: NuGet documentation, "PackageReference" and "Package versioning". */
export function nugetProject(text: string): Dependency[] {
  const found: Dependency[] = [];
  readXml(text, (element) => {
    if (!['PackageReference', 'PackageVersion', 'package'].includes(element.name)) return;
    const name = element.attributes['Include'] ?? element.attributes['Update'] ?? element.attributes['id'];
    const inner = child(element, 'Version');
    const value =
      element.attributes['Version'] ??
      element.attributes['version'] ??
      element.attributes['VersionOverride'] ??
      inner?.text.trim();
    if (name === undefined || value === undefined || value === '') return;
    const at = text.indexOf(value, element.start);
    const inside = at !== -1 && at < element.end;
    const place = {
      start: inside ? at : element.start,
      end: inside ? at + value.length : element.start + 1,
      scopeStart: element.start,
      scopeEnd: Math.max(element.end, element.start + 1),
    };
    const exact = /^\[([\d.]+)\]$/.exec(value)?.[1] ?? value;
    if (/^\d[\w.+-]*$/.test(exact)) found.push(pinned('nuget', name, exact, place));
    else found.push(ranged('nuget', name, value, wildcardBound(value) ?? intervalBound(value), place));
  });
  return found;
}

/** `3.3.*` ends before 3.4. */
function wildcardBound(value: string): Dependency['below'] {
  const numbers = /^(\d+(?:\.\d+)*)\.\*$/.exec(value)?.[1]?.split('.').map(Number);
  if (numbers === undefined) return null;
  numbers[numbers.length - 1]! += 1;
  return { version: numbers.join('.'), inclusive: false };
}

/** `[1.0,2.0)` of Maven and NuGet. */
function intervalBound(value: string): Dependency['below'] {
  const match = /,\s*([\d][\w.-]*)\s*([\])])$/.exec(value);
  return match === null ? null : { version: match[1]!, inclusive: match[2] === ']' };
}

function textPlace(text: string, element: Element): { start: number; end: number } {
  const value = element.text.trim();
  const at = value === '' ? -1 : text.indexOf(value, element.start);
  return at === -1 || at >= element.end
    ? { start: element.start, end: Math.max(element.end, element.start + 1) }
    : { start: at, end: at + value.length };
}
