/**
 * What can go wrong between two Thrift peers, and the numbers that TApplicationException has for it.
 *
 * `code` is for programs: IDL (the text is no valid IDL), BAD_VALUE (a well-formed value that the schema does not
 * allow), PROTOCOL (bytes that are no message), TOO_LARGE (a limit), UNAVAILABLE (not sent), UNKNOWN_OUTCOME (sent, no
 * answer came), OVERLOADED (too many calls at once), NO_SUCH_FUNCTION, INTERNAL, or what the other side says.
 */

/** TApplicationException.type, as every Thrift library numbers it. */
export const applicationTypes = {
  UNKNOWN: 0,
  UNKNOWN_METHOD: 1,
  INVALID_MESSAGE_TYPE: 2,
  WRONG_METHOD_NAME: 3,
  BAD_SEQUENCE_ID: 4,
  MISSING_RESULT: 5,
  INTERNAL_ERROR: 6,
  PROTOCOL_ERROR: 7,
  INVALID_TRANSFORM: 8,
  INVALID_PROTOCOL: 9,
  UNSUPPORTED_CLIENT_TYPE: 10,
} as const;

export type ApplicationType = keyof typeof applicationTypes;

export class ThriftError extends Error {
  readonly code: string;
  /** What a TApplicationException said, when one came. */
  readonly type: ApplicationType | undefined;

  constructor(code: string, message: string, options: { cause?: unknown; type?: ApplicationType } = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "ThriftError";
    this.code = code;
    this.type = options.type;
  }

  /** Names the field that was being read or written, outermost first: "Page.posts > Post.id is required". */
  within(place: string): this {
    // Errors that begin with the place itself already name it.
    if (!this.message.startsWith(place)) this.message = `${place} > ${this.message}`;
    return this;
  }
}
