/** A table with columns to sort by. It scrolls inside its own box, in both directions. */
import type { ComponentChildren } from 'preact';
import { Icon } from './icon.tsx';
import './table.css';

export interface Column<Row> {
  label: string;
  /** The sort key of the collector. A column without one cannot be sorted by. */
  key?: string;
  /** Lets the first click sort ascending, for names and for scales that begin with the worst. */
  ascendingFirst?: boolean;
  numeric?: boolean;
  /**
   * Hides the column on narrow screens: `widest` below 1600 px, `wide` below 1200 px, `medium` below 700 px.
   */
  only?: 'widest' | 'wide' | 'medium';
  /** Marks the cell that names the row. */
  heading?: boolean;
  cell: (row: Row) => ComponentChildren;
}

export interface Sort {
  key: string;
  descending: boolean;
}

interface Props<Row> {
  /** Names the table for screen readers. */
  caption: string;
  columns: Column<Row>[];
  rows: Row[];
  rowKey: (row: Row) => string | number;
  rowClass?: (row: Row) => string;
  sort?: Sort | null;
  onSort?: (sort: Sort) => void;
}

export function Table<Row>({ caption, columns, rows, rowKey, rowClass, sort, onSort }: Props<Row>) {
  return (
    <div class="table" role="group" aria-label={caption} tabIndex={0}>
      <table>
        <caption class="off-screen">{caption}</caption>
        <thead>
          <tr>
            {columns.map((column) => (
              <Head key={column.label} column={column} sort={sort} onSort={onSort} />
            ))}
          </tr>
        </thead>
        <tbody>
          {rows.map((row) => (
            <tr key={rowKey(row)} class={rowClass?.(row)}>
              {columns.map((column) =>
                column.heading ? (
                  <th key={column.label} scope="row" class={classOf(column)}>
                    {column.cell(row)}
                  </th>
                ) : (
                  <td key={column.label} class={classOf(column)}>
                    {column.cell(row)}
                  </td>
                ),
              )}
            </tr>
          ))}
        </tbody>
      </table>
    </div>
  );
}

function classOf<Row>({ numeric, only }: Column<Row>): string | undefined {
  return [numeric && 'numeric', only && `only-${only}`].filter(Boolean).join(' ') || undefined;
}

interface HeadProps<Row> {
  column: Column<Row>;
  sort: Sort | null | undefined;
  onSort: ((sort: Sort) => void) | undefined;
}

function Head<Row>({ column, sort, onSort }: HeadProps<Row>) {
  const { key, label } = column;
  if (key === undefined || onSort === undefined) {
    return (
      <th scope="col" class={classOf(column)}>
        {label}
      </th>
    );
  }
  const current = sort?.key === key ? sort : null;
  // Numbers and times begin with the highest.
  const descendingFirst = !column.ascendingFirst;
  return (
    <th
      scope="col"
      class={classOf(column)}
      aria-sort={current === null ? 'none' : current.descending ? 'descending' : 'ascending'}
    >
      <button
        type="button"
        class="sort"
        onClick={() => onSort({ key, descending: current === null ? descendingFirst : !current.descending })}
      >
        {label}
        {current !== null && <Icon name={current.descending ? 'down' : 'up'} />}
      </button>
    </th>
  );
}

/** Parses the sort order of the address: `-calls_v1` is descending. Null is the collector's own order. */
export function parseSort(text: string | null): Sort | null {
  if (!text) return null;
  return text.startsWith('-') ? { key: text.slice(1), descending: true } : { key: text, descending: false };
}

export function sortText({ key, descending }: Sort): string {
  return descending ? `-${key}` : key;
}

interface MoreProps {
  list: { more: (() => void) | null; loadingMore: boolean };
}

export function More({ list }: MoreProps) {
  if (list.more === null) return null;
  return (
    <div class="more">
      <button type="button" class="button" disabled={list.loadingMore} onClick={list.more}>
        {list.loadingMore ? 'Loading…' : 'Show more'}
      </button>
    </div>
  );
}
