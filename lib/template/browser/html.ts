/**
 * Templates in the browser: the functions of ../html.ts, which bundles for the browser replace by this file. Nothing is
 * rendered here: a call notes its strings and values, and fill.ts puts them in place.
 *
 * Notes are recognised by a registered symbol, so that no data of a frame can pass for one, and modules that came later with
 * a copy of this file of their own (hot upgrades) still speak of the same things. Components register by name, the newest
 * version under each name counts.
 */
import { type Component, componentName, type Definition, type Html, type Value } from "../contract.ts";

export type { Component, Definition, Frame, Html, Live, LiveList, Value } from "../contract.ts";

export const note: unique symbol = Symbol.for("cage.template.note") as never;

export interface Template {
  readonly [note]: "html";
  readonly strings: TemplateStringsArray;
  readonly values: readonly unknown[];
}
export interface Call {
  readonly [note]: "call";
  readonly id: string;
  readonly props: unknown;
}
export interface List {
  readonly [note]: "list";
  readonly items: Iterable<unknown>;
  readonly key: ((item: unknown) => string) | null;
  readonly view: (item: unknown, at: number) => unknown;
}
export interface Raw {
  readonly [note]: "raw";
  readonly text: string;
}
export interface On {
  readonly [note]: "on";
  readonly event: string;
  readonly act: string;
}
export type Note = Template | Call | List | Raw | On;

export const noteOf = (value: unknown): Note | undefined =>
  typeof value === "object" && value !== null && note in value ? (value as Note) : undefined;

export type AnyDefinition = Definition<unknown, Record<string, unknown>, unknown>;

const shared = Symbol.for("cage.template.components");
const holder = globalThis as unknown as Record<symbol, Map<string, AnyDefinition> | undefined>;
/** A Map, because names come from frames: `constructor` and `__proto__` are names like any other. */
export const registry: Map<string, AnyDefinition> = (holder[shared] ??= new Map());

const made = (value: Note): Html => value as unknown as Html;

export const html = (strings: TemplateStringsArray, ...values: readonly (Value | On)[]): Html =>
  made({ [note]: "html", strings, values });

export const raw = (trusted: string): Html => made({ [note]: "raw", text: trusted });

export const each = <T>(
  items: Iterable<T>,
  key: ((item: T) => string) | null,
  view: (item: T, at: number) => Html,
): Html => made({ [note]: "list", items, key, view } as unknown as List);

/** Worth it only where pages are made by the thousand: here a view is a note of a few words. */
export const kept = <K extends string | number>(_most: number, view: (key: K) => Html): ((key: K) => Html) => view;

export const on = (event: string, act: string): On => ({ [note]: "on", event, act });

export function component<P, E = Record<never, never>, Cx = unknown>(
  id: string,
  definition: Definition<P, E, Cx>,
): Component<P> {
  if (!componentName.test(id)) throw new Error(`"${id}" is no component name; write folder/name`);
  registry.set(id, definition as unknown as AnyDefinition);
  const call = (props: P): Html => made({ [note]: "call", id, props });
  return Object.assign(call, { id, keyOf: (props: P) => definition.key(props), [defined]: definition });
}

const defined = Symbol.for("cage.template.definition");

/** Makes the components among a module's exports the current ones: a module that was loaded before does not run again. */
export function register(module: unknown): void {
  for (const each of Object.values(module as Record<string, { id?: unknown; [defined]?: AnyDefinition } | undefined>)) {
    if (each?.[defined] !== undefined) registry.set(String(each.id), each[defined]);
  }
}

export const components =
  <Cx>() =>
  <P, E = Record<never, never>>(id: string, definition: Definition<P, E, Cx>): Component<P> =>
    component<P, E, Cx>(id, definition);
