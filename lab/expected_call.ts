/** Describes expected calls by the fields of the contract, with short functions that make them. */
import { LAB_ROLE } from './metadata_tree.ts';

export const PATHS = {
  token: '/latest/api/token',
  instanceId: '/latest/meta-data/instance-id',
  instanceType: '/latest/meta-data/instance-type',
  region: '/latest/meta-data/placement/region',
  roleList: '/latest/meta-data/iam/security-credentials/',
  credentials: `/latest/meta-data/iam/security-credentials/${LAB_ROLE}`,
  userData: '/latest/user-data',
  identityDocument: '/latest/dynamic/instance-identity/document',
} as const;

/** The targets that the lab's services request. */
export const CATEGORY_OF_TARGET: Readonly<Record<string, ExpectedCall['category']>> = {
  [PATHS.token]: 'token',
  [PATHS.instanceId]: 'metadata',
  [PATHS.region]: 'metadata',
  [PATHS.roleList]: 'role-list',
  [PATHS.credentials]: 'credentials',
};

/** One call that a client makes, by the fields of the contract. */
export interface ExpectedCall {
  method: string;
  /** The request target as sent. */
  target: string;
  version: 1 | 2;
  /** Null when the call is not answered. */
  status: number | null;
  category: 'credentials' | 'role-list' | 'user-data' | 'identity-document' | 'metadata' | 'token' | 'other';
  fallback?: 'token_unanswered' | 'token_refused';
  endpoint?: 'ipv4' | 'ipv6';
}

/** Returns a read without a token, answered with 200 by default. */
export const v1 = (target: string, rest: Partial<ExpectedCall> = {}): ExpectedCall => ({
  method: 'GET',
  target,
  version: 1,
  status: 200,
  category: 'metadata',
  ...rest,
});
/** Returns a read with a token, answered with 200 by default. */
export const v2 = (target: string, rest: Partial<ExpectedCall> = {}): ExpectedCall => ({
  ...v1(target, rest),
  version: 2,
});
export const token = (rest: Partial<ExpectedCall> = {}): ExpectedCall => ({
  method: 'PUT',
  target: PATHS.token,
  version: 2,
  status: 200,
  category: 'token',
  ...rest,
});
/** Returns the two reads of every SDK: the name of the role, then its credentials. */
export const credentialsBy = (read: typeof v1, rest: Partial<ExpectedCall> = {}): ExpectedCall[] => [
  read(PATHS.roleList, { category: 'role-list', ...rest }),
  read(PATHS.credentials, { category: 'credentials', ...rest }),
];
