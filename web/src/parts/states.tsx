/** What stands where an answer is not there yet, is empty, or failed. */
import type { ComponentChildren } from 'preact';
import type { Answer } from '../api/answer.ts';
import type { Problem } from '../api/client.ts';
import { Icon } from './icon.tsx';
import './states.css';

export function Skeleton({ rows = 3, tall = false }: { rows?: number; tall?: boolean }) {
  return (
    <div class={`skeleton${tall ? ' tall' : ''}`} role="status">
      <span class="off-screen">Loading</span>
      {Array.from({ length: rows }, (_, row) => (
        <i key={row} />
      ))}
    </div>
  );
}

/** `children`: what to do next. */
export function Empty({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <strong>{title}</strong>
      {children && <p>{children}</p>}
    </div>
  );
}

export function Failed({ problem, retry }: { problem: Problem; retry?: () => void }) {
  return (
    <div class="failed" role="alert">
      <Icon name="warning" />
      <div>
        <strong>{problem.title}</strong>
        {problem.detail && <p>{problem.detail}</p>}
      </div>
      {retry && (
        <button type="button" class="button" onClick={retry}>
          <Icon name="retry" />
          Try again
        </button>
      )}
    </div>
  );
}

interface Props<T> {
  answer: Answer<T>;
  rows?: number;
  tall?: boolean;
  children: (data: T) => ComponentChildren;
}

/** Shows the answer; above it, where a refresh failed, that it is from before. */
export function Answered<T>({ answer, rows, tall, children }: Props<T>) {
  if (answer.data === null) {
    if (answer.problem !== null && !answer.loading)
      return <Failed problem={answer.problem} retry={answer.reload} />;
    return <Skeleton {...(rows === undefined ? {} : { rows })} {...(tall === undefined ? {} : { tall })} />;
  }
  return (
    <>
      {answer.problem !== null && <Failed problem={answer.problem} retry={answer.reload} />}
      {children(answer.data)}
    </>
  );
}
