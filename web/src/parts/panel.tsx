/** A titled part of a screen. */
import type { ComponentChildren } from 'preact';
import { useId } from 'preact/hooks';
import './panel.css';

interface Props {
  title: string;
  /** Shown at the right of the title. */
  aside?: ComponentChildren;
  /** One line below the title. */
  note?: ComponentChildren;
  class?: string;
  /** Lets the content reach the edges of the panel, for tables. */
  flush?: boolean;
  children: ComponentChildren;
}

export function Panel({ title, aside, note, class: extra = '', flush = false, children }: Props) {
  const id = useId();
  return (
    <section class={`panel ${flush ? 'flush ' : ''}${extra}`} aria-labelledby={id}>
      <header>
        <h2 id={id}>{title}</h2>
        {aside && <div class="aside">{aside}</div>}
        {note && <p class="note">{note}</p>}
      </header>
      <div class="content">{children}</div>
    </section>
  );
}

/** A list of names with values. Names without a value are left out. */
export function FactList({ facts }: { facts: [name: string, value: ComponentChildren][] }) {
  return (
    <dl class="facts">
      {facts
        .filter(([, value]) => value !== null && value !== undefined && value !== false && value !== '')
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  );
}
