/**
 * The colour scheme: light, dark or that of the system. The browser stores it, and public/theme.js applies it
 * before the first paint.
 */
import { useEffect, useState } from 'preact/hooks';

export type Theme = 'system' | 'light' | 'dark';
const KEY = 'imdswatch.theme';
const listeners = new Set<() => void>();

export function currentTheme(): Theme {
  const chosen = document.documentElement.dataset['theme'];
  return chosen === 'light' || chosen === 'dark' ? chosen : 'system';
}

export function chooseTheme(theme: Theme): void {
  if (theme === 'system') delete document.documentElement.dataset['theme'];
  else document.documentElement.dataset['theme'] = theme;
  try {
    if (theme === 'system') localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, theme);
  } catch {
    // Storage is forbidden here, so the choice lasts until the page is loaded again.
  }
  for (const listener of listeners) listener();
}

/**
 * Renders again when the colours change. Drawings on a canvas need it, because no style sheet reaches them.
 */
export function useColours(): number {
  const [version, setVersion] = useState(0);
  useEffect(() => {
    const changed = () => setVersion((count) => count + 1);
    const system = matchMedia('(prefers-color-scheme: dark)');
    listeners.add(changed);
    system.addEventListener('change', changed);
    return () => {
      listeners.delete(changed);
      system.removeEventListener('change', changed);
    };
  }, []);
  return version;
}
