/** A path that is cut in its middle where it is too long, so that the name of the file stays whole. */
import { splitPath } from './split_path.ts';
import './path_text.css';

interface Props {
  /** A path. Any other text is cut at its end. */
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

// A browser copies the two parts of a flex box as two lines. They are one line of text while the selection is
// copied.
addEventListener('copy', () => {
  document.documentElement.classList.add('copying');
  setTimeout(() => document.documentElement.classList.remove('copying'));
});
