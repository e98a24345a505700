/**
 * The project's copy of the schema of OCSF 1.5.0 as a check of events. `test/support/fixtures/ocsf-1.5.0.json` was made from
 * github.com/ocsf/ocsf-schema, tag 1.5.0 (Apache-2.0): the classes that imdswatch exports, with their objects.
 */
import { readFileSync } from 'node:fs';
import { Ajv2020 } from 'ajv/dist/2020.js';

interface Definition {
  properties?: Record<string, Property>;
  'x-uid'?: number;
}
interface Property {
  $ref?: string;
  allOf?: Property[];
  items?: Property;
  enum?: number[];
  'x-profile'?: string;
}
type Json = string | number | boolean | null | Json[] | { [key: string]: Json };

const file = new URL('../../fixtures/ocsf-1.5.0.json', import.meta.url);
const schema = JSON.parse(readFileSync(file, 'utf8')) as { $defs: Record<string, Definition> };

/** Category of each class; the number of a class is its category's and its own (OCSF, "Understanding OCSF"). */
const CATEGORIES: Readonly<Record<string, number>> = {
  ...{ class_compliance_finding: 2, class_detection_finding: 2, class_authentication: 3 },
  ...{ class_entity_management: 3, class_network_activity: 4, class_http_activity: 4 },
};
/** Types of observables, which the schema's server fills in from the dictionary (`dictionary.json`, `observable`). */
const OBSERVABLE_TYPES = [1, 2, 4, 6, 9, 10, 13, 15, 16, 45];

const classes = new Map<number, string>();
for (const [name, category] of Object.entries(CATEGORIES)) {
  const definition = schema.$defs[name]!;
  const uid = category * 1000 + definition['x-uid']!;
  classes.set(uid, name);
  // The file has the numbers of the base class here, as the sources of the schema do.
  definition.properties!['class_uid']!.enum = [uid];
  definition.properties!['category_uid']!.enum = [category];
}
schema.$defs['observable']!.properties!['type_id']!.enum = [0, 99, ...OBSERVABLE_TYPES];

const ajv = new Ajv2020({ strict: false, allErrors: true });
ajv.addSchema(schema, 'ocsf');

/** Returns what is wrong with an event: empty where it is valid. */
export function ocsfErrors(event: Json): string[] {
  const { class_uid, activity_id, type_uid, metadata } = event as Record<string, Json>;
  const name = classes.get(class_uid as number);
  if (name === undefined) return [`class ${class_uid} is none of those that are exported`];
  const validate = ajv.getSchema(`ocsf#/$defs/${name}`)!;
  validate(event);
  const errors = (validate.errors ?? []).map(({ instancePath, message, params }) =>
    [instancePath, message, JSON.stringify(params)].join(' '),
  );
  const expected = (class_uid as number) * 100 + (activity_id as number);
  if (type_uid !== expected) errors.push(`type_uid ${type_uid} is not ${expected}`);
  const { profiles = [] } = metadata as { profiles?: string[] };
  for (const profile of profilesOf(event, { $ref: `#/$defs/${name}` })) {
    if (!profiles.includes(profile))
      errors.push(`it has a field of the profile ${profile}, which it does not name`);
  }
  return errors;
}

/** Profiles whose fields a value has. */
function profilesOf(value: Json, property: Property): Set<string> {
  const found = new Set<string>();
  const visit = (at: Json, rule: Property): void => {
    if (rule['x-profile'] !== undefined) found.add(rule['x-profile']);
    if (Array.isArray(at)) {
      for (const each of at) visit(each, rule.items ?? {});
      return;
    }
    const ref = rule.$ref ?? rule.allOf?.[0]?.$ref;
    if (ref === undefined || typeof at !== 'object' || at === null) return;
    const { properties = {} } = schema.$defs[ref.split('/').at(-1)!]!;
    for (const [key, each] of Object.entries(at)) visit(each, properties[key] ?? {});
  };
  visit(value, property);
  return found;
}
