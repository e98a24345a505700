/** Recognises the language of a file by its name, and by its first lines where the name does not say it. */
import { basename } from 'node:path/posix';
import type { SourceLanguage } from './source_lexer.ts';

export type FileLanguage = SourceLanguage | 'shell' | 'dockerfile' | 'systemd' | 'yaml' | 'hcl' | 'fstab';

const BY_ENDING: Record<string, FileLanguage> = {
  sh: 'shell',
  bash: 'shell',
  zsh: 'shell',
  ksh: 'shell',
  ash: 'shell',
  bats: 'shell',
  profile: 'shell',
  env: 'shell',
  envrc: 'shell',
  mk: 'shell',
  just: 'shell',
  py: 'python',
  pyw: 'python',
  pyi: 'python',
  js: 'javascript',
  cjs: 'javascript',
  mjs: 'javascript',
  jsx: 'javascript',
  ts: 'javascript',
  cts: 'javascript',
  mts: 'javascript',
  tsx: 'javascript',
  vue: 'javascript',
  svelte: 'javascript',
  coffee: 'ruby',
  go: 'go',
  rb: 'ruby',
  rake: 'ruby',
  gemspec: 'ruby',
  php: 'php',
  phtml: 'php',
  inc: 'php',
  java: 'java',
  kt: 'java',
  kts: 'java',
  scala: 'java',
  sc: 'java',
  groovy: 'java',
  gradle: 'java',
  clj: 'c',
  swift: 'java',
  cs: 'csharp',
  csx: 'csharp',
  fs: 'csharp',
  pl: 'perl',
  pm: 'perl',
  ps1: 'powershell',
  psm1: 'powershell',
  rs: 'rust',
  c: 'c',
  h: 'c',
  cc: 'c',
  cpp: 'c',
  cxx: 'c',
  hpp: 'c',
  m: 'c',
  mm: 'c',
  service: 'systemd',
  mount: 'systemd',
  timer: 'systemd',
  conf: 'shell',
  socket: 'systemd',
  yaml: 'yaml',
  yml: 'yaml',
  json: 'yaml',
  cfg: 'yaml',
  tf: 'hcl',
  tofu: 'hcl',
  hcl: 'hcl',
  tfvars: 'hcl',
  dockerfile: 'dockerfile',
  containerfile: 'dockerfile',
};

const BY_NAME: readonly (readonly [RegExp, FileLanguage])[] = [
  [/^(?:Dockerfile|Containerfile)(?:[.-].+)?$/i, 'dockerfile'],
  [/^(?:GNUm|m|M)akefile$/, 'shell'],
  [/^(?:Rakefile|Gemfile|Vagrantfile|Capfile|Guardfile|Berksfile|Podfile)$/, 'ruby'],
  [/^Jenkinsfile(?:\..+)?$/, 'java'],
  [/^fstab$/, 'fstab'],
  [
    /^(?:user[-_]?data|userdata|cloud[-_]?init|bootstrap|postinst|preinst|prerm|postrm|rc\.local|crontab)(?:\.(?:txt|tpl|tftpl|tmpl|j2|erb))?$/i,
    'shell',
  ],
  [/^\.(?:bashrc|bash_profile|bash_aliases|profile|zshrc|zprofile|envrc|env)$/, 'shell'],
];

/** Endings of templates: the ending before it says the language. */
const TEMPLATE = /\.(?:tpl|tftpl|tmpl|template|j2|jinja2?|erb|in|dist|sample|example)$/i;
/** Documents are read by people. Their examples are no callers. */
const DOCUMENT =
  /\.(?:md|markdown|mdx|rst|adoc|asciidoc|txt|html?|tex|org|pod|rdoc|textile|ipynb|svg|csv|tsv|log|lock|sum|map|xml|po|pot)$/i;

/** Returns null for documents and for files whose language is not known. `head` is the begin of the text. */
export function languageOf(path: string, head: string): FileLanguage | null {
  let name = basename(path);
  const named = BY_NAME.find(([pattern]) => pattern.test(name));
  const content = languageOfContent(head);
  if (named !== undefined) return content ?? named[1];
  if (TEMPLATE.test(name)) name = name.replace(TEMPLATE, '');
  const ending = /\.([A-Za-z0-9]+)$/.exec(name)?.[1]?.toLowerCase();
  const byEnding = ending === undefined ? undefined : BY_ENDING[ending];
  // A shebang wins over an ending that says little.
  if (content !== null && (byEnding === undefined || byEnding === 'shell' || byEnding === 'yaml'))
    return content;
  if (byEnding !== undefined) return byEnding;
  return DOCUMENT.test(name) ? null : TEMPLATE.test(basename(path)) ? 'shell' : null;
}

const INTERPRETERS: readonly (readonly [RegExp, FileLanguage])[] = [
  [/^(?:ba|da|z|k|a)?sh$|^busybox$/, 'shell'],
  [/^(?:python|pypy)[\d.]*$/, 'python'],
  [/^(?:node|nodejs|deno|bun|ts-node|tsx)$/, 'javascript'],
  [/^ruby[\d.]*$/, 'ruby'],
  [/^php[\d.]*$/, 'php'],
  [/^perl[\d.]*$/, 'perl'],
  [/^pwsh$/, 'powershell'],
];

/** Returns the language of an interpreter's name. */
export function languageOfProgram(program: string): FileLanguage | null {
  return INTERPRETERS.find(([pattern]) => pattern.test(program))?.[1] ?? null;
}

function languageOfContent(head: string): FileLanguage | null {
  const text = head.replace(/^\uFEFF/, '');
  const shebang = /^\s*#![ \t]*(\S+)(?:[ \t]+(?:-S[ \t]+)?(\S+))?/.exec(text);
  if (shebang !== null) {
    const program = basename(shebang[1]!);
    return languageOfProgram(program === 'env' ? basename(shebang[2] ?? '') : program);
  }
  if (/^\s*(?:## template: jinja\s+)?#cloud-config\b/.test(text)) return 'yaml';
  if (/^\s*<powershell>/i.test(text)) return 'powershell';
  if (/^\s*(?:Content-Type:|MIME-Version:)/i.test(text)) return 'shell';
  if (/^\[Unit\]|\n\[Service\]/.test(text)) return 'systemd';
  if (/^<\?php/.test(text)) return 'php';
  return null;
}
