/** Links to the whole result as a file, with the conditions that hold on the screen. */
import { apiUrl } from '../api/client.ts';
import { query } from '../url_state.ts';
import { Icon } from './icon.tsx';
import './export.css';

type Asked = Parameters<typeof query>[0];

export function Export({ path, asked }: { path: string; asked: Asked }) {
  return (
    <span class="export">
      <Icon name="download" />
      {(['csv', 'ndjson'] as const).map((format) => (
        <a key={format} href={apiUrl(path + query({ ...asked, format }))} download>
          {format.toUpperCase()}
        </a>
      ))}
    </span>
  );
}
