/** Says with whose credentials the clients of AWS are opened. Has no part of the SDK, so that commands can import it. */
export interface CredentialSettings {
  /** Profile of the AWS configuration files. Null: the SDK's default chain. */
  profile: string | null;
  /** ARNs of roles to assume, one per account. An account without one is reached with the operator's own credentials. */
  roles: readonly string[];
  externalId: string | null;
}
