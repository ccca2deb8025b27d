/**
 * The table of error codes: everything that can go wrong, once, with what it means to a caller.
 *
 * `code` is stable and is what crosses processes; `retryable` says that the same attempt may succeed later;
 * `status` is what HTTP answers. An error made by the runtime is a `CageError`; an application may throw one with a
 * code of its own. Classes do not survive a process border (nor two copies of the runtime), so recognise by `code`.
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

/** An error with a code. `message` is a lower-case sentence: what, why, and how to mend it. */
export class CageError extends Error {
  readonly code: string;
  readonly status: number;
  readonly retryable: boolean;
  readonly details: Readonly<Record<string, unknown>> | undefined;

  constructor(code: Code | (string & {}), message: string, options: ErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    const row = code in codes ? codes[code as Code] : undefined;
    this.name = "CageError";
    this.code = code;
    // An application's own code is a refusal that its author named: the caller's to handle, so 422 and final.
    this.status = options.status ?? row?.status ?? 422;
    this.retryable = options.retryable ?? row?.retryable ?? false;
    this.details = options.details;
  }
}

/** Thrown by an author to say: retrying this will never help. */
export class Terminal extends CageError {
  constructor(message: string, options: ErrorOptions = {}) {
    super("TERMINAL", message, options);
    this.name = "Terminal";
  }
}

/** The request's deadline passed before the work was done. */
export class Expired extends CageError {
  constructor(message: string, options: ErrorOptions = {}) {
    super("EXPIRED", message, options);
    this.name = "Expired";
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
