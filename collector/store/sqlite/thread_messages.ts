/** The messages between the threads of the store. */
import { OperatorError } from '../../../common/operator_error.ts';
import type { BatchResult } from '../store.ts';

export interface ThreadData {
  role: 'writer' | 'reader';
  dataDir: string;
  helperPrograms: readonly string[];
}

export interface Question {
  id: number;
  method: string;
  args: unknown[];
}

/** The results of a transaction, or the callers without which nothing was written (`BatchWriter.missingCallers`). */
export type WriteAnswer = { results: BatchResult[] } | { missing: number[] };

export type Answer = { id: number; value: unknown } | { id: number; error: EncodedError };

/** An error in a form that another thread can receive. Classes and causes cannot be copied. */
interface EncodedError {
  name: string;
  message: string;
  code: string | undefined;
  exitCode: 1 | 2 | 3 | undefined;
}

export function encodeError(error: unknown): EncodedError {
  const { name, message } = error instanceof Error ? error : { name: 'Error', message: String(error) };
  const { code } = error as { code?: string };
  return { name, message, code, exitCode: error instanceof OperatorError ? error.exitCode : undefined };
}

export function decodeError({ name, message, code, exitCode }: EncodedError): Error {
  if (exitCode !== undefined) return new OperatorError(exitCode, message);
  const error = name === 'RangeError' ? new RangeError(message) : new Error(message);
  return code === undefined ? error : Object.assign(error, { code });
}
