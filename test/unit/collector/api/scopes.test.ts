/** Tests what a viewer with a scope gets from a collector with the embedded store. */
import { testScopes } from '../../../support/collector/api/scope_tests.ts';

testScopes('a viewer with a scope', () => null);
