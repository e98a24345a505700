/**
 * Filters of a list: a text, chips that can be combined, and values of fields. The address holds all of them.
 */
import type { ComponentChildren } from 'preact';
import { useEffect, useRef, useState } from 'preact/hooks';
import { Icon } from './icon.tsx';
import './filter.css';

/** The filter is applied when a person has stopped typing for this long. */
const PAUSE_MS = 250;

interface TextProps {
  label: string;
  value: string;
  onChange: (value: string) => void;
}

/** A text filter. The key `/` moves the focus to it from anywhere on the page. */
export function TextFilter({ label, value, onChange }: TextProps) {
  const [text, setText] = useState(value);
  const input = useRef<HTMLInputElement>(null);
  const applied = useRef(value);
  useEffect(() => {
    // A link or the back button has changed the address.
    if (value !== applied.current) {
      applied.current = value;
      setText(value);
    }
  }, [value]);
  useEffect(() => {
    if (text === applied.current) return;
    const timer = setTimeout(() => {
      applied.current = text;
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

interface FilterChipProps<Value extends string> {
  label: string;
  options: { value: Value; label: ComponentChildren; title?: string }[];
  chosen: Value[];
  onChange: (chosen: Value[]) => void;
}

/** Chips of which any number can be chosen. No chip means no filter. */
export function FilterChips<Value extends string>({
  label,
  options,
  chosen,
  onChange,
}: FilterChipProps<Value>) {
  return (
    <fieldset class="choices">
      <legend class="off-screen">{label}</legend>
      {options.map(({ value, label: text, title }) => {
        const isChosen = chosen.includes(value);
        return (
          <button
            key={value}
            type="button"
            class="chip"
            aria-pressed={isChosen}
            title={title}
            onClick={() =>
              onChange(isChosen ? chosen.filter((other) => other !== value) : [...chosen, value])
            }
          >
            {text}
          </button>
        );
      })}
    </fieldset>
  );
}

interface FieldProps {
  /** Name of the parameter in the address to label. */
  fields: Record<string, string>;
  params: URLSearchParams;
  onChange: (changes: Record<string, string[] | null>) => void;
}

/** Filters on less usual fields. Each filter is a chip that removes it, and a form adds another one. */
export function FieldFilters({ fields, params, onChange }: FieldProps) {
  const [open, setOpen] = useState(false);
  const names = Object.keys(fields);
  const [name, setName] = useState(names[0]!);
  const input = useRef<HTMLInputElement>(null);
  const active = names.flatMap((field) => params.getAll(field).map((value) => ({ field, value })));
  const add = (event: Event) => {
    event.preventDefault();
    const value = input.current?.value.trim() ?? '';
    if (value === '') return;
    onChange({ [name]: [...new Set([...params.getAll(name), value])] });
    setOpen(false);
  };
  return (
    <div class="conditions">
      {active.map((filter) => (
        <button
          key={`${filter.field}=${filter.value}`}
          type="button"
          class="chip removable"
          aria-label={`Remove the filter ${fields[filter.field]} ${filter.value}`}
          onClick={() =>
            onChange({
              [filter.field]: params.getAll(filter.field).filter((value) => value !== filter.value),
            })
          }
        >
          <span class="quiet">{fields[filter.field]}</span> {filter.value}
          <Icon name="close" />
        </button>
      ))}
      <button type="button" class="button small" aria-expanded={open} onClick={() => setOpen(!open)}>
        Add a filter
      </button>
      {open && (
        <form class="inline" onSubmit={add}>
          <select aria-label="Field" value={name} onChange={(event) => setName(event.currentTarget.value)}>
            {names.map((field) => (
              <option key={field} value={field}>
                {fields[field]}
              </option>
            ))}
          </select>
          <input
            ref={input}
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
