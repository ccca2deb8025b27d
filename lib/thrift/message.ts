/**
 * Messages: in which form a frame holds one, and the one struct that every Thrift library knows without an IDL,
 *
 *     exception TApplicationException { 1: string message, 2: i32 type }
 *
 * Ours writes "CODE: sentence" as its message where the failure has a code, so that two ends of this library keep it
 * and anyone else reads a sentence.
 */
import { binary } from "./binary.ts";
import { compact } from "./compact.ts";
import { type ApplicationType, applicationTypes, ThriftError } from "./errors.ts";
import { type Form, type Headers, isSealed, noHeaders, type Opened, open, seal } from "./header.ts";
import type { Limits } from "./limits.ts";
import { type Envelope, type Input, messageTypes, type Output, type Protocol, wire } from "./wire.ts";

const plain = { transport: "framed", packed: false } as const;
const framed: { readonly [Name in Protocol["name"]]: Form } = {
  binary: { ...plain, protocol: binary },
  compact: { ...plain, protocol: compact },
};

/** The form of what cannot be read: a peer that sends envelopes understands one. */
export const formOf = (frame: Buffer): Form =>
  isSealed(frame) ? { protocol: binary, transport: "header", packed: false } : framed.binary;

/** What a frame holds, told by its first byte: 0f header, 80 strict binary, 00 old binary (a name shorter than 2^24), 82 compact. */
export function opened(frame: Buffer, limits: Limits): Opened {
  const first = frame[0];
  if (isSealed(frame)) return open(frame, limits);
  if (first === 0x80 || first === 0x00) return { form: framed.binary, headers: noHeaders, message: frame };
  if (first === 0x82) return { form: framed.compact, headers: noHeaders, message: frame };
  throw new ThriftError("PROTOCOL", `a message that begins with byte ${first}; Thrift begins with 128, 130, 15 or 0`);
}

/** The frame that brings `message` in a form: the mirror image of `opened`. */
export const framedAs = (form: Form, seqid: number, message: Buffer, headers: Headers): Buffer =>
  form.transport === "header" ? seal(form, seqid, headers, message) : message;

/** As framedAs, of what may be long: TOO_LARGE when a peer would not take it, packed or not. */
export function boundedAs(form: Form, seqid: number, message: Buffer, headers: Headers, limits: Limits): Buffer {
  const frame = framedAs(form, seqid, message, headers);
  const bytes = Math.max(message.length, frame.length);
  if (bytes <= limits.messageBytes) return frame;
  throw new ThriftError("TOO_LARGE", `a message of ${bytes} bytes; the limit is ${limits.messageBytes}`);
}

export function writeApplicationException(output: Output, type: ApplicationType, message: string): void {
  output.enter();
  output.fieldBegin(wire.STRING, 1);
  output.string(message);
  output.fieldBegin(wire.I32, 2);
  output.i32(applicationTypes[type]);
  output.leaveStruct();
}

/** A whole message that refuses a call. */
export function refusal(
  protocol: Protocol,
  call: { readonly name: string; readonly seqid: number },
  type: ApplicationType,
  message: string,
): Buffer {
  const { output } = protocol;
  output.begin();
  output.messageBegin({ ...call, type: messageTypes.EXCEPTION });
  writeApplicationException(output, type, message);
  return output.finish();
}

/**
 * A client of ours numbers its calls from here ("cage"): so a server of ours knows, without a word more on the wire, who
 * understands a goodbye. One that counts from 0 would need half a year of calls to begin with it by chance.
 */
export const firstSeqid = 0x63616765;

/** A message that no call was made for: the server leaves. New calls belong on a new connection; those under way are answered. */
export function goodbye({ output }: Protocol): Buffer {
  output.begin();
  output.messageBegin({ name: "goodbye", type: messageTypes.ONEWAY, seqid: 0 });
  output.enter();
  output.leaveStruct();
  return output.finish();
}

export const isGoodbye = ({ name, type, seqid }: Envelope): boolean =>
  type === messageTypes.ONEWAY && seqid === 0 && name === "goodbye";

const codeOfType: { readonly [Type in ApplicationType]: string } = {
  UNKNOWN: "INTERNAL",
  UNKNOWN_METHOD: "NO_SUCH_FUNCTION",
  INVALID_MESSAGE_TYPE: "PROTOCOL",
  WRONG_METHOD_NAME: "PROTOCOL",
  BAD_SEQUENCE_ID: "PROTOCOL",
  MISSING_RESULT: "PROTOCOL",
  INTERNAL_ERROR: "INTERNAL",
  PROTOCOL_ERROR: "PROTOCOL",
  INVALID_TRANSFORM: "PROTOCOL",
  INVALID_PROTOCOL: "PROTOCOL",
  UNSUPPORTED_CLIENT_TYPE: "PROTOCOL",
};

const typeOfNumber = new Map<number, ApplicationType>(
  Object.entries(applicationTypes).map(([name, number]) => [number, name as ApplicationType]),
);

export function readApplicationException(input: Input): ThriftError {
  let message = "";
  let number = 0;
  input.enter();
  for (let type = input.fieldBegin(); type !== wire.STOP; type = input.fieldBegin()) {
    if (input.fieldId === 1 && type === wire.STRING) message = input.string();
    else if (input.fieldId === 2 && type === wire.I32) number = input.i32();
    else input.skip(type);
  }
  input.leaveStruct();
  const type = typeOfNumber.get(number) ?? "UNKNOWN";
  const coded = /^([A-Z][A-Z0-9_]{2,40}): ([\s\S]*)$/.exec(message);
  return new ThriftError(coded?.[1] ?? codeOfType[type], coded?.[2] ?? (message || `the peer answered ${type}`), {
    type,
  });
}
