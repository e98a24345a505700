/** This release, for `--version`, `hello` and the heartbeat. */
import release from '../package.json' with { type: 'json' };

export const VERSION: string = release.version;
