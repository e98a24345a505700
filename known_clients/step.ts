/** One step of an advice: a sentence, and text to copy. */

/** Languages of the code in an advice. `text` is anything that is no code of these. */
export const LANGUAGES = [
  'shell',
  'python',
  'javascript',
  'go',
  'java',
  'ruby',
  'php',
  'perl',
  'ini',
  'text',
] as const;
export type Language = (typeof LANGUAGES)[number];

export interface Step {
  /** One imperative sentence. */
  text: string;
  /** Text to copy: a shell command, or lines of `language`. */
  code: string | null;
  language: Language | null;
}

export function shellStep(text: string, code: string): Step {
  return { text, code, language: 'shell' };
}

export function textStep(text: string): Step {
  return { text, code: null, language: null };
}
