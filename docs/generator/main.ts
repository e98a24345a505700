/** `npm run docs` writes the generated parts of the documents. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { DOCS_DIRECTORY, generatedDocuments } from './documents.ts';

for (const [name, text] of await generatedDocuments()) writeFileSync(join(DOCS_DIRECTORY, name), text);
