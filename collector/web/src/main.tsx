import { render } from 'preact';
import './styles/tokens.css';
import './styles/base.css';
import './styles/parts.css';
import './styles/layout.css';
import './styles/charts.css';
import './styles/screens.css';
import { App } from './app.tsx';

render(<App />, document.getElementById('page')!);
