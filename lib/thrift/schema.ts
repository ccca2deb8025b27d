/**
 * What an IDL means: every name resolved, every check made that the grammar cannot make, typedefs gone, defaults as
 * JavaScript values. The rest of lib/thrift sees only this.
 *
 *     const schema = schemaOf(text, { file: "planet.thrift", include: (path) => textOf(path) });
 *     schema.services.get("Forum")?.methods.get("thread");
 *
 * Promises: what it returns can be read and written without a further check. Refusals begin with "file:line:column:".
 */
import { ThriftError } from "./errors.ts";
import {
  type Annotations,
  type ConstValue,
  type Document,
  type EnumNode,
  type FieldNode,
  type Named,
  parse,
  type Requiredness,
  type ServiceNode,
  type StructNode,
  type TypeRef,
} from "./idl.ts";
import { type Position, place } from "./lexer.ts";

export type Type = { /** The typedef it was written as, for declare.ts. */ readonly alias?: string } & (
  | { readonly kind: "bool" | "i8" | "i16" | "i32" | "double" | "string" | "binary" | "uuid" }
  | { readonly kind: "i64" /** (js.type = "number"): a number, refused beyond 2^53. */; readonly number: boolean }
  | { readonly kind: "enum"; readonly enum: Enum }
  | { readonly kind: "struct"; readonly struct: Struct }
  | { readonly kind: "list" | "set"; readonly element: Type }
  | { readonly kind: "map"; readonly key: Type; readonly value: Type }
);

export interface Enum {
  readonly name: string;
  readonly doc: string | undefined;
  readonly members: ReadonlyMap<string, number>;
  readonly docs: ReadonlyMap<string, string>;
}

export interface Field {
  readonly id: number;
  /** The property in JavaScript: (js.name = "...") or as written. */
  readonly name: string;
  /** As the IDL has it. */
  readonly written: string;
  readonly requiredness: Requiredness;
  readonly type: Type;
  /** undefined: no default. Containers must be copied before they are given away. */
  readonly value: unknown;
  readonly doc: string | undefined;
}

export interface Struct {
  readonly name: string;
  readonly kind: "struct" | "union" | "exception";
  /** By field number, ascending. */
  readonly fields: readonly Field[];
  readonly doc: string | undefined;
}

export interface Method {
  readonly name: string;
  readonly service: string;
  readonly oneway: boolean;
  /** undefined: void. */
  readonly result: Type | undefined;
  /** In the order they were written, which is the order of the function's parameters. */
  readonly args: readonly Field[];
  readonly throws: readonly Field[];
  readonly doc: string | undefined;
}

export interface Service {
  readonly name: string;
  readonly parent: Service | undefined;
  /** Inherited ones included. */
  readonly methods: ReadonlyMap<string, Method>;
  readonly own: readonly Method[];
  readonly doc: string | undefined;
}

export interface Schema {
  readonly document: Document;
  readonly typedefs: ReadonlyMap<string, Type>;
  readonly enums: ReadonlyMap<string, Enum>;
  readonly structs: ReadonlyMap<string, Struct>;
  readonly services: ReadonlyMap<string, Service>;
  readonly constants: ReadonlyMap<string, { readonly type: Type; readonly value: unknown }>;
  /** By the prefix that names are used with: "shared" for include "lib/shared.thrift". */
  readonly includes: ReadonlyMap<string, Schema>;
}

export interface SchemaOptions {
  readonly file?: string;
  /** The text of an included file, or undefined when there is none. */
  readonly include?: (path: string, from: string) => { text: string; file: string } | undefined;
}

const maxIncludeDepth = 32;

export function schemaOf(text: string, options: SchemaOptions = {}): Schema {
  return new Resolver(parse(text, options.file), options, new Map(), []).schema();
}

class Resolver {
  readonly #document: Document;
  readonly #options: SchemaOptions;
  readonly #done: Map<string, Schema>;
  readonly #trail: readonly string[];
  readonly #includes = new Map<string, Schema>();
  readonly #nodes = new Map<string, Document["definitions"][number]>();
  readonly #typedefs = new Map<string, Type>();
  readonly #enums = new Map<string, Enum>();
  readonly #structs = new Map<string, Struct & { fields: Field[] }>();
  readonly #services = new Map<string, Service>();
  readonly #constants = new Map<string, { type: Type; value: unknown }>();
  /** Names being resolved now: meeting one again is a circle. */
  readonly #open = new Set<string>();

  constructor(document: Document, options: SchemaOptions, done: Map<string, Schema>, trail: readonly string[]) {
    this.#document = document;
    this.#options = options;
    this.#done = done;
    this.#trail = [...trail, document.file];
  }

  schema(): Schema {
    for (const include of this.#document.includes) this.#include(include.path, include);
    for (const node of this.#document.definitions) {
      this.#unique(this.#nodes, node, "is defined twice; names are shared by all definitions of a file");
      this.#nodes.set(node.name, node);
    }
    // Structs exist before their fields are resolved, so that they may contain each other.
    for (const node of this.#nodes.values()) {
      if (node.kind === "enum") this.#enums.set(node.name, this.#enum(node));
      else if (node.kind === "struct" || node.kind === "union" || node.kind === "exception")
        this.#structs.set(node.name, { name: node.name, kind: node.kind, doc: node.doc, fields: [] });
    }
    for (const node of this.#nodes.values()) {
      if (node.kind === "typedef") this.#typedef(node.name);
      else if (node.kind === "const") this.#constant(node.name);
      else if (node.kind === "service") this.#service(node.name);
      else if (node.kind !== "enum") this.#fill(node);
    }
    return {
      document: this.#document,
      typedefs: this.#typedefs,
      enums: this.#enums,
      structs: this.#structs,
      services: this.#services,
      constants: this.#constants,
      includes: this.#includes,
    };
  }

  #include(path: string, at: Position): void {
    const found = this.#options.include?.(path, this.#document.file);
    if (found === undefined) throw this.#refuse(at, `included file ${JSON.stringify(path)} was not found`);
    if (this.#trail.includes(found.file))
      throw this.#refuse(at, `${JSON.stringify(path)} includes itself by way of ${this.#trail.join(", ")}`);
    if (this.#trail.length >= maxIncludeDepth) throw this.#refuse(at, `includes nested deeper than ${maxIncludeDepth}`);
    let schema = this.#done.get(found.file);
    if (schema === undefined) {
      schema = new Resolver(parse(found.text, found.file), this.#options, this.#done, this.#trail).schema();
      this.#done.set(found.file, schema);
    }
    this.#includes.set(prefixOf(path), schema);
  }

  #enum(node: EnumNode): Enum {
    const members = new Map<string, number>();
    const docs = new Map<string, string>();
    for (const member of node.members) {
      this.#unique(members, member, `is a member of ${node.name} twice`);
      members.set(member.name, member.value);
      if (member.doc !== undefined) docs.set(member.name, member.doc);
    }
    return { name: node.name, doc: node.doc, members, docs };
  }

  #fill(node: StructNode): void {
    const struct = this.#structs.get(node.name) as Struct & { fields: Field[] };
    const fields = this.#fields(node.fields, node.name);
    // A union has exactly one of its fields, whatever is written before them.
    const settled = node.kind === "union" ? fields.map((f) => ({ ...f, requiredness: "optional" as const })) : fields;
    struct.fields.push(...settled.sort((a, b) => a.id - b.id));
  }

  #fields(nodes: readonly FieldNode[], owner: string): Field[] {
    const ids = new Map<number, string>();
    const names = new Set<string>();
    return nodes.map((node) => {
      const other = ids.get(node.id);
      if (other !== undefined)
        throw this.#refuse(node, `${owner}.${node.name} has number ${node.id}, which ${owner}.${other} has already`);
      ids.set(node.id, node.name);
      // An IDL for all languages must avoid the reserved words of all; this gives ours its own word back.
      const name = node.annotations["js.name"] ?? node.name;
      if (!/^[A-Za-z_$][\w$]*$/.test(name))
        throw this.#refuse(node, `js.name is ${JSON.stringify(name)}, which is no name`);
      this.#unique(names, { ...node, name }, `is a field of ${owner} twice`);
      names.add(name);
      if (name === "__proto__") throw this.#refuse(node, "a field cannot be called __proto__ in JavaScript");
      const type = this.#type(node.type, node.annotations);
      const value = node.value === undefined ? undefined : this.#value(node.value, type, `${owner}.${node.name}`);
      return { id: node.id, name, written: node.name, requiredness: node.requiredness, type, value, doc: node.doc };
    });
  }

  #type(ref: TypeRef, outer: Annotations = {}): Type {
    const wanted = ref.annotations["js.type"] ?? outer["js.type"];
    if (wanted !== undefined && wanted !== "number" && wanted !== "bigint")
      throw this.#refuse(ref, `js.type is "number" or "bigint", not ${JSON.stringify(wanted)}`);
    switch (ref.kind) {
      case "base":
        if (ref.name === "i64") return { kind: "i64", number: wanted === "number" };
        return { kind: ref.name === "byte" ? "i8" : ref.name };
      case "list":
      case "set":
        return { kind: ref.kind, element: this.#type(ref.element) };
      case "map":
        return { kind: "map", key: this.#type(ref.key), value: this.#type(ref.value) };
      case "named": {
        const type = this.#named(ref);
        return wanted !== undefined && type.kind === "i64" ? { kind: "i64", number: wanted === "number" } : type;
      }
    }
  }

  #named(ref: Position & { readonly name: string }): Type {
    const own = this.#enums.get(ref.name);
    if (own !== undefined) return { kind: "enum", enum: own };
    const struct = this.#structs.get(ref.name);
    if (struct !== undefined) return { kind: "struct", struct };
    if (this.#nodes.get(ref.name)?.kind === "typedef") return { ...this.#typedef(ref.name, ref), alias: ref.name };
    const [schema, name] = this.#abroad(ref.name);
    if (schema !== undefined) {
      const there = schema.enums.get(name);
      if (there !== undefined) return { kind: "enum", enum: there, alias: ref.name };
      const foreign = schema.structs.get(name);
      if (foreign !== undefined) return { kind: "struct", struct: foreign, alias: ref.name };
      const typedef = schema.typedefs.get(name);
      if (typedef !== undefined) return { ...typedef, alias: ref.name };
    }
    const node = this.#nodes.get(ref.name);
    throw this.#refuse(
      ref,
      node === undefined
        ? `unknown type ${ref.name}${this.#near(ref.name)}`
        : `${ref.name} is a ${node.kind}, not a type`,
    );
  }

  #typedef(name: string, from?: Position): Type {
    const done = this.#typedefs.get(name);
    if (done !== undefined) return done;
    const node = this.#nodes.get(name);
    if (node?.kind !== "typedef") throw new Error(`no typedef ${name}`);
    this.#enter(name, from ?? node, "typedef");
    const type = this.#type(node.type, node.annotations);
    this.#open.delete(name);
    this.#typedefs.set(name, type);
    return type;
  }

  #constant(name: string, from?: Position): { type: Type; value: unknown } {
    const done = this.#constants.get(name);
    if (done !== undefined) return done;
    const node = this.#nodes.get(name);
    if (node?.kind !== "const") throw new Error(`no const ${name}`);
    this.#enter(name, from ?? node, "const");
    const type = this.#type(node.type, node.annotations);
    const constant = { type, value: this.#value(node.value, type, name) };
    this.#open.delete(name);
    this.#constants.set(name, constant);
    return constant;
  }

  #service(name: string, from?: Position): Service {
    const done = this.#services.get(name);
    if (done !== undefined) return done;
    const node = this.#nodes.get(name) as ServiceNode;
    this.#enter(name, from ?? node, "service");
    const parent = node.parent === undefined ? undefined : this.#parent(node.parent);
    const methods = new Map<string, Method>(parent?.methods);
    const own = node.methods.map((each): Method => {
      const label = `${name}.${each.name}`;
      if (methods.has(each.name))
        throw this.#refuse(each, `${label} is defined already, in ${methods.get(each.name)?.service}`);
      if (each.oneway && (each.result !== undefined || each.throws.length > 0))
        throw this.#refuse(each, `${label} is oneway: nobody waits for it, so it must be void and throw nothing`);
      const throws = this.#fields(each.throws, label);
      throws.forEach((field, at) => {
        if (field.type.kind !== "struct" || field.type.struct.kind !== "exception")
          throw this.#refuse(each.throws[at] as FieldNode, `${label} throws ${field.name}, which is no exception`);
        // Field 0 of an answer is its result.
        if (field.id === 0)
          throw this.#refuse(each.throws[at] as FieldNode, `${label} throws with number 0, which is taken`);
      });
      const method = {
        name: each.name,
        service: name,
        oneway: each.oneway,
        result: each.result === undefined ? undefined : this.#type(each.result),
        args: this.#fields(each.args, label),
        throws,
        doc: each.doc,
      };
      methods.set(each.name, method);
      return method;
    });
    this.#open.delete(name);
    const service = { name, parent, methods, own, doc: node.doc };
    this.#services.set(name, service);
    return service;
  }

  #parent(ref: Position & { readonly name: string }): Service {
    if (this.#nodes.get(ref.name)?.kind === "service") return this.#service(ref.name, ref);
    const [schema, name] = this.#abroad(ref.name);
    const found = schema?.services.get(name);
    if (found === undefined) throw this.#refuse(ref, `unknown service ${ref.name}${this.#near(ref.name)}`);
    return found;
  }

  /** A constant of the IDL as the JavaScript value that the codec would read for `type`. */
  #value(node: ConstValue, type: Type, owner: string): unknown {
    if (node.kind === "name" && node.value !== "true" && node.value !== "false")
      return this.#reference(node.value, node, type, owner);
    const misfit = () => this.#refuse(node, `${owner} is ${type.kind}, which a ${node.kind} does not fit`);
    switch (type.kind) {
      case "bool":
        if (node.kind === "name") return node.value === "true";
        if (node.kind === "int") return node.value !== 0n;
        throw misfit();
      case "i8":
      case "i16":
      case "i32":
      case "i64": {
        if (node.kind !== "int") throw misfit();
        const bits = { i8: 8n, i16: 16n, i32: 32n, i64: 64n }[type.kind];
        if (node.value < -(1n << (bits - 1n)) || node.value >= 1n << (bits - 1n))
          throw this.#refuse(node, `${owner}: ${node.value} does not fit ${type.kind}`);
        return type.kind === "i64" && !type.number ? node.value : Number(node.value);
      }
      case "double":
        if (node.kind !== "int" && node.kind !== "double") throw misfit();
        return Number(node.value);
      case "enum": {
        if (node.kind !== "int") throw misfit();
        const value = Number(node.value);
        if (![...type.enum.members.values()].includes(value))
          throw this.#refuse(node, `${owner}: ${value} is no member of ${type.enum.name}`);
        return value;
      }
      case "string":
      case "uuid":
        if (node.kind !== "text") throw misfit();
        return node.value;
      case "binary":
        if (node.kind !== "text") throw misfit();
        return new TextEncoder().encode(node.value);
      case "list":
      case "set": {
        if (node.kind !== "list") throw misfit();
        const items = node.items.map((item) => this.#value(item, type.element, owner));
        return type.kind === "set" ? new Set(items) : items;
      }
      case "map": {
        if (node.kind !== "map") throw misfit();
        const pairs = node.entries.map(
          ([key, value]) => [this.#value(key, type.key, owner), this.#value(value, type.value, owner)] as const,
        );
        return type.key.kind === "string" ? Object.fromEntries(pairs as [string, unknown][]) : new Map(pairs);
      }
      case "struct":
        return this.#structValue(node, type.struct, owner);
    }
  }

  #structValue(node: ConstValue, struct: Struct, owner: string): unknown {
    if (node.kind !== "map") throw this.#refuse(node, `${owner} is ${struct.name}; write it as { "field": value }`);
    const value: Record<string, unknown> = {};
    for (const [key, item] of node.entries) {
      if (key.kind !== "text") throw this.#refuse(key, `${owner}: a field of ${struct.name} is named in quotes`);
      // The struct's own fields may not be resolved yet; its definition always is.
      const field = struct.fields.find((each) => each.written === key.value) ?? this.#early(struct, key.value);
      if (field === undefined) throw this.#refuse(key, `${owner}: ${struct.name} has no field ${key.value}`);
      const inner = this.#value(item, field.type, `${owner}.${key.value}`);
      if (struct.kind === "union") return { kind: field.name, value: inner };
      value[field.name] = inner;
    }
    return value;
  }

  #early(struct: Struct, name: string): { name: string; type: Type } | undefined {
    const node = this.#nodes.get(struct.name);
    if (this.#structs.get(struct.name) !== struct || node === undefined || !("fields" in node)) return undefined;
    const field = node.fields.find((each) => each.name === name);
    return field && { name: field.annotations["js.name"] ?? name, type: this.#type(field.type, field.annotations) };
  }

  #reference(text: string, at: Position, type: Type, owner: string): unknown {
    if (this.#nodes.get(text)?.kind === "const") return this.#constant(text, at).value;
    const [abroad, name] = this.#abroad(text);
    const constant = abroad?.constants.get(name);
    if (constant !== undefined) return constant.value;
    const dot = text.lastIndexOf(".");
    const enumName = text.slice(0, Math.max(dot, 0));
    const [there, foreign] = this.#abroad(enumName);
    // A bare member is taken where an enum is expected, as Apache's compiler (0.17) takes it with a warning.
    const found =
      dot < 0 ? type.kind === "enum" && type.enum : (this.#enums.get(enumName) ?? there?.enums.get(foreign));
    const value = found ? found.members.get(text.slice(dot + 1)) : undefined;
    if (value === undefined) throw this.#refuse(at, `${owner}: unknown constant ${text}`);
    return value;
  }

  #abroad(name: string): [Schema | undefined, string] {
    const dot = name.indexOf(".");
    return dot < 0 ? [undefined, name] : [this.#includes.get(name.slice(0, dot)), name.slice(dot + 1)];
  }

  #enter(name: string, at: Position, what: string): void {
    if (this.#open.has(name)) throw this.#refuse(at, `${what} ${name} is defined by itself`);
    this.#open.add(name);
  }

  #unique(taken: { has(name: string): boolean }, node: Named, why: string): void {
    if (taken.has(node.name)) throw this.#refuse(node, `${node.name} ${why}`);
  }

  #near(name: string): string {
    const lower = name.toLowerCase();
    const near = [...this.#nodes.keys()].find((each) => each.toLowerCase() === lower);
    return near === undefined ? "; define it or include the file that does" : `; is ${near} meant?`;
  }

  #refuse(at: Position, sentence: string): ThriftError {
    return new ThriftError("IDL", `${place(this.#document.file, at)}: ${sentence}`);
  }
}

const prefixOf = (path: string): string => path.replace(/^.*\//, "").replace(/\.thrift$/, "");
