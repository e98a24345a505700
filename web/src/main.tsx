import { render } from 'preact';
import './styles/tokens.css';
import './styles/base.css';
import './styles/controls.css';
import './styles/text.css';
import { App } from './app.tsx';

render(<App />, document.getElementById('page')!);
