/**
 * The table of error codes: everything that can go wrong, once, with what it means to a caller.
 *
 * `code` is stable and is what crosses processes; `retryable` says that the same attempt may succeed later;
 * `status` is what HTTP answers. An error made by the runtime is a `CageError`; an application may throw one with a
 * code of its own (`failure`, rpc/failure.ts). Classes do not survive a process border, nor two copies of the runtime:
 * `instanceof` goes by brand and code here, so `error instanceof Terminal` is true wherever the error came from.
 *
 * Outsiders are told `code` and the sentence (`told(error)`), never a stack; the operator gets all of it.
 */

export const codes = {
  BAD_INPUT: { status: 400, retryable: false, public: true },
  UNAUTHORIZED: { status: 401, retryable: false, public: true },
  FORBIDDEN: { status: 403, retryable: false, public: true },
  NOT_FOUND: { status: 404, retryable: false, public: true },
  METHOD_NOT_ALLOWED: { status: 405, retryable: false, public: true },
  CONFLICT: { status: 409, retryable: false, public: true },
  TOO_LARGE: { status: 413, retryable: false, public: true },
  /** The work can never succeed: do not retry it (Restate's one error that authors must know). */
  TERMINAL: { status: 422, retryable: false, public: true },
  TOO_MANY: { status: 429, retryable: true, public: true },
  INTERNAL: { status: 500, retryable: true, public: false },
  NO_SUCH_CAGE: { status: 502, retryable: true, public: false },
  NO_SUCH_FUNCTION: { status: 502, retryable: false, public: false },
  PROTOCOL: { status: 502, retryable: false, public: false },
  UNAVAILABLE: { status: 503, retryable: true, public: true },
  OVERLOADED: { status: 503, retryable: true, public: true },
  EXPIRED: { status: 504, retryable: true, public: true },
  CANCELLED: { status: 499, retryable: false, public: true },
  /** The connection was lost after the request was sent: it may or may not have been done. */
  UNKNOWN_OUTCOME: { status: 502, retryable: false, public: false },
  /** What was asked for needs another engine. */
  UNSUPPORTED: { status: 501, retryable: false, public: false },
  CONFIG: { status: 500, retryable: false, public: false },
  LOAD: { status: 500, retryable: false, public: false },
  PORT_TAKEN: { status: 500, retryable: false, public: false },
  NO_REQUEST: { status: 500, retryable: false, public: false },
} as const;

export type Code = keyof typeof codes;

export interface ErrorOptions {
  readonly cause?: unknown;
  readonly status?: number;
  readonly retryable?: boolean;
  /** Facts for the caller, by name; they cross with the error (`{ path: "order.cents" }`). */
  readonly details?: Readonly<Record<string, unknown>>;
}

const brand = Symbol.for("cage.error");

/** An error with a code. `message` is a lower-case sentence: what, why, and how to mend it. */
export class CageError extends Error {
  /** Set by the classes below: an error is one of theirs by this, whoever made it. */
  static readonly code?: Code;
  readonly code: string;
  readonly status: number;
  readonly retryable: boolean;
  readonly details: Readonly<Record<string, unknown>> | undefined;

  constructor(code: Code | (string & {}), message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    const row = Object.hasOwn(codes, code) ? codes[code as Code] : undefined;
    this.name = Object.hasOwn(names, code) ? (names[code] as string) : "CageError";
    this.code = code;
    // An application's own code is a refusal that its author named: the caller's to handle, so 422 and final.
    this.status = options.status ?? row?.status ?? 422;
    this.retryable = options.retryable ?? row?.retryable ?? false;
    this.details = options.details;
  }

  get [brand](): true {
    return true;
  }

  static override readonly [Symbol.hasInstance] = belongs;
}

function belongs(this: { readonly code?: Code }, value: unknown): boolean {
  if (typeof value !== "object" || value === null || (value as { [brand]?: unknown })[brand] !== true) return false;
  if (this === CageError) return true;
  return Object.hasOwn(this, "code")
    ? (value as CageError).code === this.code
    : Function.prototype[Symbol.hasInstance].call(this, value);
}

const names: Readonly<Record<string, string>> = {
  TERMINAL: "Terminal",
  EXPIRED: "Expired",
  CANCELLED: "Cancelled",
  OVERLOADED: "Overloaded",
  UNAVAILABLE: "Unavailable",
  UNKNOWN_OUTCOME: "UnknownOutcome",
};

/** Thrown by an author to say: retrying this will never help. */
export class Terminal extends CageError {
  static override readonly code = "TERMINAL";
  constructor(message: string, options: ErrorOptions = {}) {
    super("TERMINAL", message, options);
  }
}

/** The request's deadline passed before the work was done. */
export class Expired extends CageError {
  static override readonly code = "EXPIRED";
  constructor(message: string, options: ErrorOptions = {}) {
    super("EXPIRED", message, options);
  }
}

/** Whoever asked stopped waiting. */
export class Cancelled extends CageError {
  static override readonly code = "CANCELLED";
  constructor(message: string, options: ErrorOptions = {}) {
    super("CANCELLED", message, options);
  }
}

/** Refused because there is too much to do; nothing was done. `details.retryAfterMs`, where it is known. */
export class Overloaded extends CageError {
  static override readonly code = "OVERLOADED";
  constructor(message: string, options: ErrorOptions = {}) {
    super("OVERLOADED", message, options);
  }
}

/** It could not be reached; nothing was done. */
export class Unavailable extends CageError {
  static override readonly code = "UNAVAILABLE";
  constructor(message: string, options: ErrorOptions = {}) {
    super("UNAVAILABLE", message, options);
  }
}

/** The connection was lost after the call was sent: it may or may not have been done. */
export class UnknownOutcome extends CageError {
  static override readonly code = "UNKNOWN_OUTCOME";
  constructor(message: string, options: ErrorOptions = {}) {
    super("UNKNOWN_OUTCOME", message, options);
  }
}

/** Any thrown value as a CageError; what was not one becomes INTERNAL with the original as its cause. */
export function coded(thrown: unknown): CageError {
  if (thrown instanceof CageError) return thrown;
  const foreign = thrown as { code?: unknown; message?: unknown; retryable?: unknown; details?: unknown } | null;
  const message = typeof foreign?.message === "string" ? foreign.message : String(thrown);
  // Another copy of the runtime or of a library: same code, other class.
  const code = typeof foreign?.code === "string" && foreign.code in codes ? (foreign.code as Code) : "INTERNAL";
  const details = foreign?.details as ErrorOptions["details"];
  return new CageError(code, message, { cause: thrown, ...(details ? { details } : {}) });
}

/** What an outsider may know of an error: a code and a sentence. */
export function told(thrown: unknown): { code: string; message: string; status: number } {
  const error = coded(thrown);
  const open = error.code in codes ? codes[error.code as Code].public : true;
  return open
    ? { code: error.code, message: error.message, status: error.status }
    : {
        code: error.code,
        message: "the service could not do this; its operator has the details",
        status: error.status,
      };
}
