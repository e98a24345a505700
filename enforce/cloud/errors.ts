/** Tells what an error of the SDK means. Pure. Codes: EC2 API reference, "Error codes for the Amazon EC2 API". */
import type { CloudError, CloudErrorKind, Outcome } from '../cloud.ts';

const BY_CODE: Readonly<Record<string, CloudErrorKind>> = {
  UnauthorizedOperation: 'denied',
  AccessDenied: 'denied',
  AccessDeniedException: 'denied',
  UnsupportedOperation: 'unsupported',
  RequestLimitExceeded: 'throttled',
  Throttling: 'throttled',
  ThrottlingException: 'throttled',
  ThrottledException: 'throttled',
  RequestThrottled: 'throttled',
  RequestThrottledException: 'throttled',
  TooManyRequestsException: 'throttled',
  'InvalidInstanceID.Malformed': 'not_found',
  IncorrectInstanceState: 'wrong_state',
  IncorrectState: 'wrong_state',
  ScalingActivityInProgressFault: 'wrong_state',
  ScalingActivityInProgress: 'wrong_state',
};
/** Also `InvalidLaunchTemplateId.VersionNotFound` and `InvalidInstanceId.NotFound`. */
const NOT_FOUND = /NotFound(Exception)?$/;
/** Errors of the SDK's credential providers and of its own checks. Nothing was sent. */
const BEFORE_SENDING =
  /^(CredentialsProviderError|TokenProviderError|ProviderError|InstanceMetadataV1FallbackError|InvalidEndpointError)$/;

/** A dry run answers with this error where the change is permitted (EC2 API reference, "Common query parameters"). */
const DRY_RUN_PERMITTED = 'DryRunOperation';

interface SdkError extends Error {
  $metadata?: { httpStatusCode?: number };
  $fault?: 'client' | 'server';
  Code?: string;
}

/** Returns an error without anything that may be secret: the code and AWS's message only. */
export function cloudError(error: unknown): CloudError {
  if (!(error instanceof Error)) return { kind: 'other', code: 'Unknown', message: String(error) };
  const { $metadata: metadata, $fault: fault, Code: wireCode } = error as SdkError;
  const code = wireCode ?? error.name;
  const found = (kind: CloudErrorKind): CloudError => ({ kind, code, message: error.message });
  const known = BY_CODE[code];
  if (known !== undefined) return found(known);
  if (NOT_FOUND.test(code)) return found('not_found');
  if (BEFORE_SENDING.test(error.name)) return found('other');
  const status = metadata?.httpStatusCode;
  // A refusal by the service has a status below 500. Anything else may have come after the change.
  if (status !== undefined && status >= 400 && status < 500) return found('other');
  if (status === undefined && fault === undefined && isProgrammingError(error)) return found('other');
  return found('lost');
}

/** The SDK refuses invalid input before it sends anything. */
function isProgrammingError(error: Error): boolean {
  return error instanceof TypeError || error instanceof RangeError || error.name === 'ValidationException';
}

/** Waits for an answer, and returns its error as a value. */
export async function outcome<T>(work: () => Promise<T>): Promise<Outcome<T>> {
  try {
    return { ok: true, value: await work() };
  } catch (error) {
    return { ok: false, error: cloudError(error) };
  }
}

/** The same for a call with `DryRun`, which answers "permitted" by an error. */
export async function dryRunOutcome<T>(dryRun: boolean, work: () => Promise<T>): Promise<Outcome<T | null>> {
  const answered = await outcome<T | null>(work);
  if (!dryRun) return answered;
  if (!answered.ok) {
    return answered.error.code === DRY_RUN_PERMITTED ? { ok: true, value: null } : answered;
  }
  return {
    ok: false,
    error: {
      kind: 'lost',
      code: 'DryRunIgnored',
      message: 'The cloud answered a dry run as if it had made the change. Read the present values.',
    },
  };
}
