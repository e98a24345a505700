/** Asks for the role of a token before work begins that needs an admin. */
import { session } from '../../collector/contract/session.ts';
import { OperatorError } from '../../common/operator_error.ts';
import type { CollectorClient } from './collector_client.ts';

/** `why`: the rest of a sentence, such as `because each step is audited`. Throws `OperatorError` (3) for another role. */
export async function requireAdmin(client: CollectorClient, why: string): Promise<void> {
  const { name, role } = await client.get('/session', session);
  if (role === 'admin') return;
  throw new OperatorError(
    3,
    `This needs a token of the role admin, ${why}. The token "${name}" has the role ${role}. Make one on the collector's machine: imdswatch token create --kind person --role admin --name NAME.`,
  );
}
