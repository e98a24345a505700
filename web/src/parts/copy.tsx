/** Commands and snippets with a button that copies them. */
import { useEffect, useState } from 'preact/hooks';
import { Icon } from './icon.tsx';
import './copy.css';

const FEEDBACK_MS = 2_000;

export function CopyButton({ text, what = 'Copy' }: { text: string; what?: string }) {
  const [done, setDone] = useState<'copied' | 'failed' | null>(null);
  useEffect(() => {
    if (done === null) return;
    const timer = setTimeout(() => setDone(null), FEEDBACK_MS);
    return () => clearTimeout(timer);
  }, [done]);
  const copy = () => {
    copyText(text).then(
      (copied) => setDone(copied ? 'copied' : 'failed'),
      () => setDone('failed'),
    );
  };
  return (
    <button type="button" class={`button small copy${done === 'copied' ? ' done' : ''}`} onClick={copy}>
      <Icon name={done === 'copied' ? 'check' : 'copy'} />
      <span aria-live="polite">
        {done === 'copied' ? 'Copied' : done === 'failed' ? 'Not copied: select the text' : what}
      </span>
    </button>
  );
}

/** Without TLS a browser gives no clipboard except to this old command. */
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
