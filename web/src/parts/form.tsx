/** Forms and buttons that send one request. They are disabled while it runs, and show its error. */
import type { ComponentChildren, InputHTMLAttributes } from 'preact';
import { useState } from 'preact/hooks';
import type { Problem } from '../api/client.ts';
import { asProblem } from '../api/resource.ts';
import { ErrorNotice } from './states.tsx';
import './form.css';

export interface Action {
  busy: boolean;
  problem: Problem | null;
  /** Runs the request. Returns false if it failed; `problem` has the reason. */
  run(work: () => Promise<void>): Promise<boolean>;
}

export function useAction(): Action {
  const [busy, setBusy] = useState(false);
  const [problem, setProblem] = useState<Problem | null>(null);
  const run = async (work: () => Promise<void>) => {
    setBusy(true);
    setProblem(null);
    try {
      await work();
      return true;
    } catch (error) {
      setProblem(asProblem(error));
      return false;
    } finally {
      setBusy(false);
    }
  };
  return { busy, problem, run };
}

interface FormProps {
  action: Action;
  label: string;
  onSubmit: (values: FormData, form: HTMLFormElement) => void;
  cancel?: () => void;
  children: ComponentChildren;
}

export function Form({ action, label, onSubmit, cancel, children }: FormProps) {
  return (
    <form
      class="form"
      onSubmit={(event) => {
        event.preventDefault();
        onSubmit(new FormData(event.currentTarget), event.currentTarget);
      }}
    >
      <div class="fields">{children}</div>
      {action.problem && <ErrorNotice problem={action.problem} />}
      <div class="buttons">
        <button type="submit" class="button primary" disabled={action.busy}>
          {label}
        </button>
        {cancel && (
          <button type="button" class="button" onClick={cancel}>
            Cancel
          </button>
        )}
      </div>
    </form>
  );
}

interface FieldProps {
  label: string;
  hint?: string | undefined;
  children: ComponentChildren;
}

export function Field({ label, hint, children }: FieldProps) {
  return (
    <label class="field">
      <span>{label}</span>
      {children}
      {hint && <span class="hint">{hint}</span>}
    </label>
  );
}

export type FieldDefinition = {
  /** The name of the value in the form's data. */
  name: string;
  label: string;
  hint?: string;
} & (
  | { input: InputHTMLAttributes<HTMLInputElement> }
  /** Value to label. */
  | { options: Record<string, string> }
);

/** Fields that follow each other: text inputs without autocompletion, and selects. */
export function FieldList({ fields }: { fields: FieldDefinition[] }) {
  return (
    <>
      {fields.map((field) => (
        <Field key={field.name} label={field.label} hint={field.hint}>
          {'options' in field ? (
            <select name={field.name}>
              {Object.entries(field.options).map(([value, label]) => (
                <option key={value} value={value}>
                  {label}
                </option>
              ))}
            </select>
          ) : (
            <input name={field.name} autocomplete="off" {...field.input} />
          )}
        </Field>
      ))}
    </>
  );
}

interface ConfirmProps {
  label: string;
  /** The label of the second button, which does it. */
  confirmLabel: string;
  onConfirm: () => Promise<void>;
}

/** A button for an action that cannot be undone. The first click only asks for a second one. */
export function Confirm({ label, confirmLabel, onConfirm }: ConfirmProps) {
  const [isAsking, setIsAsking] = useState(false);
  const action = useAction();
  if (!isAsking) {
    return (
      <button type="button" class="button small" onClick={() => setIsAsking(true)}>
        {label}
      </button>
    );
  }
  return (
    <span class="confirm">
      <button
        type="button"
        class="button small danger"
        disabled={action.busy}
        ref={(button) => button?.focus()}
        onClick={() => action.run(onConfirm).then((done) => done && setIsAsking(false))}
      >
        {confirmLabel}
      </button>
      <button type="button" class="button small" onClick={() => setIsAsking(false)}>
        Cancel
      </button>
      {action.problem && <span role="alert">{action.problem.message}</span>}
    </span>
  );
}
