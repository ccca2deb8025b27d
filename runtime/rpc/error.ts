/**
 * Errors on the wire: `flat` before sending, `revived` at the other end. Code, sentence, status, retryable and details
 * cross, and the causes behind it as far as they are any use; the stack goes along for the operator's log only
 * (`told` in errors.ts never shows it).
 */
import { CageError, coded, type ErrorOptions } from "../errors.ts";
import { limits } from "./limits.ts";

export interface WireError {
  readonly code: string;
  readonly message: string;
  readonly status?: number;
  readonly retryable?: boolean;
  readonly details?: Readonly<Record<string, unknown>>;
  readonly stack?: string;
  readonly cause?: WireError;
  /** The call was refused before anything of it was done. */
  readonly untouched?: boolean;
}

/** What is thrown where, as data. An error of no code is INTERNAL, and its cause is what was thrown. */
export function flat(thrown: unknown, depth = 0): WireError {
  const error = coded(thrown);
  const { code, message, status, retryable, details, stack, cause } = error;
  return {
    code,
    message,
    status,
    retryable,
    ...(details === undefined ? {} : { details }),
    ...(stack === undefined ? {} : { stack: stack.slice(0, limits.stackLength) }),
    ...(cause === undefined || cause === null || depth + 1 >= limits.causes
      ? {}
      : // coded() put what was thrown behind the INTERNAL that it made: that one's own code and name would be lost again.
        { cause: cause instanceof CageError ? flat(cause, depth + 1) : foreign(cause, depth + 1) }),
  };
}

function foreign(thrown: unknown, depth: number): WireError {
  if (!(thrown instanceof Error)) return { code: "INTERNAL", message: String(thrown) };
  const { name, message, stack, cause } = thrown;
  const { code } = thrown as { code?: unknown };
  return {
    code: typeof code === "string" ? code : name,
    message,
    ...(stack === undefined ? {} : { stack: stack.slice(0, limits.stackLength) }),
    ...(cause === undefined || cause === null || depth + 1 >= limits.causes
      ? {}
      : { cause: foreign(cause, depth + 1) }),
  };
}

/** The same error for the caller, who knows it by code (`instanceof` does too); `from`: the cage that threw it. */
export function revived(wire: WireError, from: string): CageError {
  const options: ErrorOptions = {
    ...(typeof wire.status === "number" ? { status: wire.status } : {}),
    ...(typeof wire.retryable === "boolean" ? { retryable: wire.retryable } : {}),
    ...(typeof wire.details === "object" && wire.details !== null ? { details: wire.details } : {}),
    ...(typeof wire.cause === "object" && wire.cause !== null ? { cause: revived(wire.cause, from) } : {}),
  };
  const error = new CageError(String(wire.code), String(wire.message), options);
  if (wire.stack) error.stack = `${error.stack}\n--- in ${from} ---\n${wire.stack}`;
  return error;
}

const thrown = new WeakSet<CageError>();

/** As `revived`, of the answer to a call. */
export function answered(wire: WireError, from: string): CageError {
  const error = revived(wire, from);
  if (wire.untouched !== true) thrown.add(error);
  return error;
}

/**
 * Whether it came from code that was called: UNAVAILABLE then is not of the one that was asked, but of somebody that it
 * asked in turn, and what it did before that is done.
 */
export const isThrownThere = (error: unknown): boolean => thrown.has(error as CageError);
