/** A path that is too long for its place is cut in its middle: the name of the file stays whole. */
import { splitPath } from './split_path.ts';
import './path_text.css';

interface Props {
  /** A path, or any other text, which is cut at its end as usual. */
  text: string;
}

export function PathText({ text }: Props) {
  const { directory, file } = splitPath(text);
  return (
    <span class="path-text" title={text}>
      {directory !== '' && <span class="directory">{directory}</span>}
      <span class="file">{file}</span>
    </span>
  );
}
