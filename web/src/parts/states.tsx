/** The states of data that is loading, is empty or could not be loaded. */
import type { ComponentChildren } from 'preact';
import type { Problem } from '../api/client.ts';
import type { Resource } from '../api/resource.ts';
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

/** Says that there is nothing to show. `children` says what to do next. */
export function EmptyNotice({ title, children }: { title: string; children?: ComponentChildren }) {
  return (
    <div class="empty">
      <strong>{title}</strong>
      {children && <p>{children}</p>}
    </div>
  );
}

export function ErrorNotice({ problem, retry }: { problem: Problem; retry?: () => void }) {
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
  resource: Resource<T>;
  rows?: number;
  tall?: boolean;
  children: (data: T) => ComponentChildren;
}

/** Shows the data. If a refresh failed, the problem is shown above the data from before it. */
export function ResourceView<T>({ resource, rows, tall, children }: Props<T>) {
  if (resource.data === null) {
    if (resource.problem !== null && !resource.loading)
      return <ErrorNotice problem={resource.problem} retry={resource.reload} />;
    return <Skeleton {...(rows === undefined ? {} : { rows })} {...(tall === undefined ? {} : { tall })} />;
  }
  return (
    <>
      {resource.problem !== null && <ErrorNotice problem={resource.problem} retry={resource.reload} />}
      {children(resource.data)}
    </>
  );
}
