/** Links that download the whole list as a file, with the filters of the screen. */
import { apiUrl } from '../api/client.ts';
import { type QueryParams, query } from '../url_state.ts';
import { Icon } from './icon.tsx';
import './export.css';

export function ExportLinks({ path, filters }: { path: string; filters: QueryParams }) {
  return (
    <span class="export">
      <Icon name="download" />
      {(['csv', 'ndjson'] as const).map((format) => (
        <a key={format} href={apiUrl(path + query({ ...filters, format }))} download>
          {format.toUpperCase()}
        </a>
      ))}
    </span>
  );
}
