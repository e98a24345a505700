/** What narrows a list: a text field, and choices that can be combined. All of it lives in the address. */
import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { Icon } from './icon.tsx';
import './filter.css';

/** Typing asks the collector only when it pauses this long. */
const PAUSE_MS = 250;

interface TextProps {
  label: string;
  value: string;
  onChange: (value: string) => void;
}

/** `/` anywhere on the page leads here. */
export function TextFilter({ label, value, onChange }: TextProps) {
  const [text, setText] = useState(value);
  const input = useRef<HTMLInputElement>(null);
  const sent = useRef(value);
  useEffect(() => {
    // The address changed otherwise: a link, or back.
    if (value !== sent.current) {
      sent.current = value;
      setText(value);
    }
  }, [value]);
  useEffect(() => {
    if (text === sent.current) return;
    const timer = setTimeout(() => {
      sent.current = text;
      onChange(text);
    }, PAUSE_MS);
    return () => clearTimeout(timer);
  }, [text]);
  useEffect(() => {
    const focus = (event: KeyboardEvent) => {
      const { target } = event;
      const typing =
        target instanceof HTMLElement &&
        (target.isContentEditable || /^(INPUT|TEXTAREA|SELECT)$/.test(target.nodeName));
      if (event.key !== '/' || event.ctrlKey || event.metaKey || event.altKey || typing) return;
      event.preventDefault();
      input.current?.focus();
      input.current?.select();
    };
    addEventListener('keydown', focus);
    return () => removeEventListener('keydown', focus);
  }, []);
  return (
    <label class="search">
      <Icon name="search" />
      <span class="off-screen">{label}</span>
      <input
        ref={input}
        type="search"
        placeholder={label}
        value={text}
        spellcheck={false}
        autocomplete="off"
        onInput={(event) => setText(event.currentTarget.value)}
      />
      <kbd aria-hidden="true">/</kbd>
    </label>
  );
}

interface ChoiceProps<Value extends string> {
  label: string;
  options: { value: Value; label: ComponentChildren; title?: string }[];
  chosen: Value[];
  onChange: (chosen: Value[]) => void;
}

/** Any of them; none chosen is the same as all. */
export function Choices<Value extends string>({ label, options, chosen, onChange }: ChoiceProps<Value>) {
  return (
    <fieldset class="choices">
      <legend class="off-screen">{label}</legend>
      {options.map(({ value, label: text, title }) => {
        const on = chosen.includes(value);
        return (
          <button
            key={value}
            type="button"
            class="chip"
            aria-pressed={on}
            title={title}
            onClick={() => onChange(on ? chosen.filter((one) => one !== value) : [...chosen, value])}
          >
            {text}
          </button>
        );
      })}
    </fieldset>
  );
}

interface FieldProps {
  /** Name in the address → what it is called. */
  fields: Record<string, string>;
  params: URLSearchParams;
  onChange: (changes: Record<string, string[] | null>) => void;
}

/** Conditions on less usual fields: those that hold are shown as chips, and one can be added. */
export function Conditions({ fields, params, onChange }: FieldProps) {
  const [open, setOpen] = useState(false);
  const names = Object.keys(fields);
  const [name, setName] = useState(names[0]!);
  const field = useRef<HTMLInputElement>(null);
  const held = names.flatMap((one) => params.getAll(one).map((value) => ({ name: one, value })));
  const add = (event: Event) => {
    event.preventDefault();
    const value = field.current?.value.trim() ?? '';
    if (value === '') return;
    onChange({ [name]: [...new Set([...params.getAll(name), value])] });
    setOpen(false);
  };
  return (
    <div class="conditions">
      {held.map((one) => (
        <button
          key={`${one.name}=${one.value}`}
          type="button"
          class="chip removable"
          aria-label={`Remove the filter ${fields[one.name]} ${one.value}`}
          onClick={() =>
            onChange({ [one.name]: params.getAll(one.name).filter((value) => value !== one.value) })
          }
        >
          <span class="quiet">{fields[one.name]}</span> {one.value}
          <Icon name="close" />
        </button>
      ))}
      <button type="button" class="button small" aria-expanded={open} onClick={() => setOpen(!open)}>
        Add a filter
      </button>
      {open && (
        <form class="inline" onSubmit={add}>
          <select aria-label="Field" value={name} onChange={(event) => setName(event.currentTarget.value)}>
            {names.map((one) => (
              <option key={one} value={one}>
                {fields[one]}
              </option>
            ))}
          </select>
          <input
            ref={field}
            autoFocus
            required
            aria-label={`Value of ${fields[name]}`}
            placeholder={name === 'tag' ? 'key:value' : 'exact value'}
            spellcheck={false}
            autocomplete="off"
          />
          <button type="submit" class="button small primary">
            Apply
          </button>
        </form>
      )}
    </div>
  );
}
