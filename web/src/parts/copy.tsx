/** Commands and snippets with a button that copies them. */
import { useEffect, useState } from 'preact/hooks';
import { Icon } from './icon.tsx';
import './copy.css';

const FEEDBACK_MS = 2_000;

export function CopyButton({ text, label = 'Copy' }: { text: string; label?: string }) {
  const [result, setResult] = useState<'copied' | 'failed' | null>(null);
  useEffect(() => {
    if (result === null) return;
    const timer = setTimeout(() => setResult(null), FEEDBACK_MS);
    return () => clearTimeout(timer);
  }, [result]);
  const copy = () => {
    copyText(text).then(
      (copied) => setResult(copied ? 'copied' : 'failed'),
      () => setResult('failed'),
    );
  };
  return (
    <button type="button" class={`button small copy${result === 'copied' ? ' done' : ''}`} onClick={copy}>
      <Icon name={result === 'copied' ? 'check' : 'copy'} />
      <span aria-live="polite">
        {result === 'copied' ? 'Copied' : result === 'failed' ? 'Not copied: select the text' : label}
      </span>
    </button>
  );
}

/**
 * Copies a text. Without TLS, browsers allow this only through the old `execCommand`. Returns false if that
 * fails.
 */
async function copyText(text: string): Promise<boolean> {
  if (window.isSecureContext) {
    await navigator.clipboard.writeText(text);
    return true;
  }
  const area = document.createElement('textarea');
  area.value = text;
  area.className = 'off-screen';
  document.body.append(area);
  area.select();
  const copied = document.execCommand('copy');
  area.remove();
  return copied;
}

export function Code({ code, label }: { code: string; label: string }) {
  return (
    <div class="code">
      <pre tabIndex={0} role="region" aria-label={label}>
        <code>{code}</code>
      </pre>
      <CopyButton text={code} />
    </div>
  );
}
