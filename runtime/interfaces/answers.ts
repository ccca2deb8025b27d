/**
 * Answers by configuration: any function of the cage, over any protocol, without a line of code.
 *
 *     interfaces: { web: { protocol: "http", port: 8080, answers: { "GET /hello/:who": "greeter.hello(who)" } } }
 *
 * Left of the colon is the protocol's own name of a piece of work; right of it an own export of a module, and what it is
 * given of the message:
 *
 *     answer   = module "." function [ "(" [ argument { "," argument } ] ")" ]
 *     argument = field | field "?" | JSON literal          "orders.list(shop, after?, 20)"
 *
 * The field `body` is all that was sent: a JSON value as it is, text as a string, anything else as bytes (a Uint8Array), so
 * that `"POST /files/:name": "files.keep(name, body)"` takes any file. What has a field of that name in its address (http) or
 * of its own (thrift) has that one.
 *
 * A field that the message lacks is refused with BAD_INPUT, unless its argument says that it may (`after?`). Without
 * parentheses the function gets the message whole: an object of its fields, or what a call gave by position. Schemas of
 * fn({ input }) are validated as for calls. A name that no module has is refused before the swap.
 */
import { nearest } from "../../lib/nearest.ts";
import { CageError } from "../errors.ts";
import type { Request } from "../request/request.ts";
import { invoke } from "../rpc/api.ts";

export type Argument =
  | { readonly field: string; readonly optional: boolean }
  /** The JSON text of a literal, parsed anew for each call: a handler may change what it is given. */
  | { readonly json: string };

export interface Answer {
  /** As it was written. */
  readonly text: string;
  readonly module: string;
  readonly function: string;
  /** Undefined: the whole message. */
  readonly arguments: readonly Argument[] | undefined;
}

/** By the protocol's own name of a piece of work. */
export type Answers = ReadonlyMap<string, Answer>;

/** What a message says, by name. Arguments by position are an array, and their names are $1, $2, ... */
export type Fields = Readonly<Record<string, unknown>> | readonly unknown[];

/** What can be seen of a generation's modules (modules/generation.ts). */
export interface Modules {
  readonly names: readonly string[];
  module(name: string): Readonly<Record<string, unknown>> | undefined;
}

const target = /^\s*([\w-]+(?:\/[\w-]+)*)\.([A-Za-z_$][\w$]*)\s*/;
const field = /[A-Za-z_$][\w$-]*\??/y;
const literals = new Set(["true", "false", "null"]);

/** Throws CONFIG: what is wrong with it, and how it is written. */
export function parseAnswer(text: string): Answer {
  const wrong = (what: string): CageError =>
    new CageError(
      "CONFIG",
      `${what} in ${quoted(text)}; write "module.function", or "module.function(field, \\"literal\\")"`,
    );
  const found = target.exec(text);
  if (found === null) throw wrong("no module.function");
  const [whole, module, name] = found as unknown as [string, string, string];
  const rest = text.slice(whole.length).trimEnd();
  if (rest === "") return { text, module, function: name, arguments: undefined };
  if (!rest.startsWith("(") || !rest.endsWith(")")) throw wrong(`unexpected ${quoted(rest)}`);
  return { text, module, function: name, arguments: argumentsIn(rest.slice(1, -1), wrong) };
}

function argumentsIn(text: string, wrong: (what: string) => CageError): Argument[] {
  if (text.trim() === "") return [];
  return split(text).map((piece): Argument => {
    const each = piece.trim();
    field.lastIndex = 0;
    if (field.exec(each)?.[0] === each && !literals.has(each))
      return each.endsWith("?") ? { field: each.slice(0, -1), optional: true } : { field: each, optional: false };
    try {
      JSON.parse(each);
    } catch {
      throw wrong(each === "" ? "an argument is missing" : `${quoted(each)} is neither a field's name nor JSON`);
    }
    return { json: each };
  });
}

/** At the commas that stand in no string, array or object of a literal. */
function split(text: string): string[] {
  const pieces: string[] = [];
  let from = 0;
  let depth = 0;
  let inString = false;
  for (let at = 0; at < text.length; at++) {
    const char = text[at];
    if (inString) {
      if (char === "\\") at++;
      else if (char === '"') inString = false;
    } else if (char === '"') inString = true;
    else if (char === "[" || char === "{") depth++;
    else if (char === "]" || char === "}") depth--;
    else if (char === "," && depth === 0) {
      pieces.push(text.slice(from, at));
      from = at + 1;
    }
  }
  return [...pieces, text.slice(from)];
}

/** Throws CONFIG when the modules lack the function, naming the nearest. */
export function checkAnswer(answer: Answer, modules: Modules): void {
  const module = modules.module(answer.module);
  if (module === undefined)
    throw new CageError("CONFIG", `there is no module '${answer.module}'${hint(answer.module, modules.names)}`);
  if (Object.hasOwn(module, answer.function) && typeof module[answer.function] === "function") return;
  const functions = Object.keys(module).filter((name) => typeof module[name] === "function");
  const path = `${answer.module}.${answer.function}`;
  throw new CageError("CONFIG", `there is no function '${path}'${hint(answer.function, functions)}`);
}

/** Throws CONFIG when an argument names a field that no message has: for protocols that know their fields. */
export function checkFields(answer: Answer, fields: readonly string[]): void {
  for (const argument of answer.arguments ?? [])
    if ("field" in argument && !fields.includes(argument.field))
      throw new CageError(
        "CONFIG",
        `${quoted(answer.text)}: there is no field '${argument.field}'${hint(argument.field, fields)}`,
      );
}

/** Runs it on the generation of `request`, which has to be the current one (Host.serve). */
export async function answerWith(answer: Answer, message: Fields, request: Request): Promise<unknown> {
  const module = request.lease.module(answer.module);
  return await invoke({ [answer.module]: module }, `${answer.module}.${answer.function}`, given(answer, message));
}

function given(answer: Answer, message: Fields): readonly unknown[] {
  if (answer.arguments === undefined) return Array.isArray(message) ? message : [message];
  const fields = Array.isArray(message)
    ? Object.fromEntries(message.map((value, at) => [`$${at + 1}`, value]))
    : (message as Readonly<Record<string, unknown>>);
  return answer.arguments.map((argument) => {
    if ("json" in argument) return JSON.parse(argument.json) as unknown;
    const value = Object.hasOwn(fields, argument.field) ? fields[argument.field] : undefined;
    if (value === undefined && !argument.optional)
      throw new CageError("BAD_INPUT", `the message has no '${argument.field}', which its answer needs`, {
        details: { [argument.field]: "is missing" },
      });
    return value;
  });
}

/**
 * The fields of a message that is one value: its members when it is an object, else itself under `otherwise`; and for an
 * answer that names it, `body`: all of it.
 */
export function fieldsOf(answer: Answer, value: unknown, otherwise: string): Readonly<Record<string, unknown>> {
  const members = isRecord(value) ? value : { [otherwise]: value };
  const wanted = answer.arguments?.some((argument) => "field" in argument && argument.field === "body");
  return wanted ? { ...members, body: value } : members;
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value) && !(value instanceof Uint8Array);

const longest = 120;
const quoted = (text: string): string => JSON.stringify(text.length > longest ? `${text.slice(0, longest)}...` : text);

function hint(word: string, known: readonly string[]): string {
  const near = nearest(word, known);
  if (near !== undefined) return `; did you mean '${near}'?`;
  return known.length > 0 ? `; there are ${known.slice(0, 10).join(", ")}` : "";
}
