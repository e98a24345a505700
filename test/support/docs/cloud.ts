/** Plays AWS for the commands of a document: one instance. Writes the environment of its users to the file that is named. */
import { writeFileSync } from 'node:fs';
import { addInstance } from '../../../lab/cloud/state.ts';
import { CloudApi } from '../../../lab/cloud_api.ts';

const ACCOUNT = '111122223333';

const api = await CloudApi.start();
addInstance(api.state.region(ACCOUNT, 'eu-central-1'), 'i-0123456789abcdef0');
const lines = Object.entries(api.environment(ACCOUNT)).map(([name, value]) => `export ${name}=${value}\n`);
writeFileSync(process.argv[2]!, lines.join(''));
process.stdout.write('the cloud answers\n');
process.on('SIGINT', () => process.exit());
