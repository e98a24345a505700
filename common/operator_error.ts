/**
 * An error that an operator can act on. Its message says in whole sentences what is wrong and what to do
 * next; it is printed without a stack. Exit codes (README, "Exit codes"): 1 failed, 2 bad usage or
 * configuration, 3 not permitted.
 */
export class OperatorError extends Error {
  readonly exitCode: 1 | 2 | 3;
  constructor(exitCode: 1 | 2 | 3, message: string, options?: ErrorOptions) {
    super(message, options);
    this.name = 'OperatorError';
    this.exitCode = exitCode;
  }
}
