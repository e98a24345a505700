/** Checks texts of settings. */
import { isIP, isIPv6 } from 'node:net';
import * as z from 'zod';
import { OperatorError } from '../common/operator_error.ts';
import { OWNER_RULE_FORMS, ownerRule } from './insight/owner_rules.ts';
import { hasPassword, isDatabaseUrl, parseDatabaseUrl } from './store/postgres/database_url.ts';
import { releasePattern } from './store/release_names.ts';

export const network = z.string().refine((text) => {
  const [address = '', prefix, ...rest] = text.split('/');
  const bits = isIPv6(address) ? 128 : 32;
  const prefixIsGood = prefix === undefined || (/^\d{1,3}$/.test(prefix) && Number(prefix) <= bits);
  return isIP(address) !== 0 && prefixIsGood && rest.length === 0;
}, 'must be addresses or networks, such as 10.0.0.5 or 10.0.0.0/24');

export const releasePatternText = z.string().refine((text) => {
  try {
    releasePattern(text);
    return true;
  } catch {
    return false;
  }
}, 'must begin with / and have {release} once, as /srv/shop/{release}/bin does');

export const ownerRuleText = z.string().refine((text) => {
  try {
    ownerRule(text);
    return true;
  } catch {
    return false;
  }
}, `must be ${OWNER_RULE_FORMS}`);

export const databaseUrlText = z.string().superRefine(checkDatabaseUrl);

/** A place where a collector keeps its data: the address of a database, or the directory of an embedded store. */
export const placeText = z
  .string('must name a data_dir or the address of a database')
  .min(1)
  .superRefine((text, context) => {
    if (isDatabaseUrl(text)) checkDatabaseUrl(text, context);
  });

/**
 * A password in it is refused: others see the arguments and the environment of a process, and people copy
 * configuration files.
 */
function checkDatabaseUrl(text: string, context: z.RefinementCtx): void {
  const refuse = (message: string) => context.addIssue({ code: 'custom', message });
  if (hasPassword(text)) {
    refuse(
      'must have no password. Write the password into a file that only the user of the collector can read, and add ?password_file=FILE',
    );
    return;
  }
  try {
    parseDatabaseUrl(text);
  } catch (error) {
    if (!(error instanceof OperatorError)) throw error;
    refuse(`must be the address of a database. ${error.message.replace(/\.$/, '')}`);
  }
}
