/** This release, as `--version`, `hello` and the heartbeat tell it. */
import release from '../package.json' with { type: 'json' };

export const VERSION: string = release.version;
