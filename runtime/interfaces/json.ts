/** Answers as JSON, for protocols of text: { "error": { code, message } } is what an outsider may know of one. */
import { told } from "../errors.ts";

/** Nothing is null, since each question has its answer. A bigint is its digits as a string, which lose nothing. */
export const jsonOf = (value: unknown): string => JSON.stringify(value ?? null, digits) ?? "null";

const digits = (_: string, value: unknown): unknown => (typeof value === "bigint" ? value.toString() : value);

export function refusalOf(error: unknown): { readonly error: { readonly code: string; readonly message: string } } {
  const { code, message } = told(error);
  return { error: { code, message } };
}
