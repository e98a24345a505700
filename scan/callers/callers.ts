/** Finds metadata calls in a text of any language: files, user data, here-documents, scripts in YAML. */
import { mayHaveAddress, TOKEN_HEADER } from './address.ts';
import type { CallSite } from './call_site.ts';
import { CLIENT_NEEDLES, findClientCalls } from './client_calls.ts';
import { dockerfileAsShell } from './dockerfile.ts';
import { hclScripts } from './hcl_scripts.ts';
import { type FileLanguage, languageOf, languageOfProgram } from './language_of.ts';
import { findShellCalls } from './shell_calls.ts';
import { findSourceCalls } from './source_calls.ts';
import { systemdUnitAsShell } from './systemd_unit.ts';
import { type EmbeddedScript, yamlScripts } from './yaml_scripts.ts';

/** Says quickly that a text has no call. */
export function mayCall(text: string): boolean {
  return (
    mayHaveAddress(text) ||
    CLIENT_NEEDLES.some((needle) => text.includes(needle)) ||
    /\biam_role=auto\b|\bimdsv1only\b/.test(text)
  );
}

/**
 * Returns the calls without a token in user data or another script inside a file. `shift` is added to all
 * positions, so that they are those of the file.
 */
export function findCallsInScript(script: string, shift = 0): CallSite[] {
  if (!mayCall(script)) return [];
  const language = languageOf('user-data', script.slice(0, 1000)) ?? 'shell';
  return shifted(findCalls(script, language), shift);
}

export function findCalls(text: string, language: FileLanguage): CallSite[] {
  if (!mayCall(text)) return [];
  switch (language) {
    case 'shell':
      return inShell(text);
    case 'dockerfile':
      return inShell(dockerfileAsShell(text));
    case 'systemd':
      return inShell(systemdUnitAsShell(text));
    case 'fstab':
      return inShell(text);
    case 'yaml':
      return inYaml(text);
    case 'hcl':
      return inScripts(hclScripts(text), text);
    default:
      return [...findSourceCalls(text, language), ...findClientCalls(text, language)].sort(
        (a, b) => a.start - b.start,
      );
  }
}

function inShell(text: string): CallSite[] {
  return findShellCalls(text, { hasToken: sendsToken(text), embedded });
}

/** Reads code of an interpreter in a here-document or a quoted word. */
function embedded(program: string, text: string, start: number, end: number): CallSite[] | null {
  const language = languageOfProgram(program);
  if (language === null || language === 'shell' || language === 'yaml') return null;
  return shifted(findCalls(text.slice(start, end), language), start);
}

function inYaml(text: string): CallSite[] {
  const scripts = yamlScripts(text);
  // A template with `{{ … }}` is no YAML: its lines are read as shell, where `- ` and `key:` do no harm.
  if (scripts === null) return inShell(text);
  return inScripts(scripts, text);
}

/** A token that any script of the file sends counts for all: they are often parts of one. */
function inScripts(scripts: readonly EmbeddedScript[], text: string): CallSite[] {
  const hasToken = scripts.some((script) => sendsToken(script.text)) || sendsToken(withoutHashComments(text));
  return scripts.flatMap((script) => {
    const language = languageOf('script', script.text.trimStart().slice(0, 200)) ?? 'shell';
    if (language !== 'shell') return shifted(findCalls(script.text, language), script.start);
    return shifted(findShellCalls(script.text, { hasToken, embedded }), script.start).filter(
      // A sentence that names the URL is no caller; a setting may be one.
      ({ kind }) => kind !== 'address' || /\n|^\S+$/.test(script.text.trim()),
    );
  });
}

function sendsToken(text: string): boolean {
  return TOKEN_HEADER.test(text) && TOKEN_HEADER.test(withoutHashComments(text));
}

function withoutHashComments(text: string): string {
  return text.replace(/(^|\s)#[^\n]*/g, '$1');
}

function shifted(sites: readonly CallSite[], by: number): CallSite[] {
  return sites.map((site) => ({
    ...site,
    start: site.start + by,
    end: site.end + by,
    scopeStart: site.scopeStart + by,
    scopeEnd: site.scopeEnd + by,
  }));
}
