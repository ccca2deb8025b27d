/** A uuid is a string to programs ("6ba7b810-9dad-11d1-80b4-00c04fd430c8") and 16 bytes on the wire, in reading order. */
import { ThriftError } from "./errors.ts";

const form = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

export function hexOfUuid(text: string): string {
  if (!form.test(text))
    throw new ThriftError("BAD_VALUE", `${JSON.stringify(text)} is no uuid; write it as 8-4-4-4-12 hexadecimal digits`);
  return text.replaceAll("-", "");
}

export function uuidOfBytes(bytes: Buffer): string {
  const hex = bytes.toString("hex");
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
