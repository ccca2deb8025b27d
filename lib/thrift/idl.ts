/**
 * The grammar of Thrift's IDL, by recursive descent: text in, a tree with positions out. Says nothing of meaning (that
 * is schema.ts): an unknown type or a doubled id passes here.
 *
 *     const document = parse(text, "planet.thrift");
 *
 * Takes all that Apache's compiler 0.17 takes in common use, and tolerates its fossils (senum, slist, cpp_type, xsd_*,
 * references with &). Every refusal begins with "file:line:column:".
 */
import { ThriftError } from "./errors.ts";
import { type Position, place, type Token, tokens } from "./lexer.ts";

export type Annotations = Readonly<Record<string, string>>;

export const baseNames = ["bool", "byte", "i8", "i16", "i32", "i64", "double", "string", "binary", "uuid"] as const;
export type BaseName = (typeof baseNames)[number];

export type TypeRef = Position & { readonly annotations: Annotations } & (
    | { readonly kind: "base"; readonly name: BaseName }
    | { readonly kind: "named"; readonly name: string }
    | { readonly kind: "list" | "set"; readonly element: TypeRef }
    | { readonly kind: "map"; readonly key: TypeRef; readonly value: TypeRef }
  );

export type ConstValue = Position &
  (
    | { readonly kind: "int"; readonly value: bigint }
    | { readonly kind: "double"; readonly value: number }
    | { readonly kind: "text" | "name"; readonly value: string }
    | { readonly kind: "list"; readonly items: readonly ConstValue[] }
    | { readonly kind: "map"; readonly entries: readonly (readonly [ConstValue, ConstValue])[] }
  );

export interface Named extends Position {
  readonly name: string;
  readonly doc: string | undefined;
  readonly annotations: Annotations;
}

export type Requiredness = "required" | "optional" | "default";

export interface FieldNode extends Named {
  readonly id: number;
  readonly requiredness: Requiredness;
  readonly type: TypeRef;
  readonly value: ConstValue | undefined;
}

export interface MethodNode extends Named {
  readonly oneway: boolean;
  /** undefined: void. */
  readonly result: TypeRef | undefined;
  readonly args: readonly FieldNode[];
  readonly throws: readonly FieldNode[];
}

export interface StructNode extends Named {
  readonly kind: "struct" | "union" | "exception";
  readonly fields: readonly FieldNode[];
}
export interface EnumNode extends Named {
  readonly kind: "enum";
  readonly members: readonly (Named & { readonly value: number })[];
}
export interface ServiceNode extends Named {
  readonly kind: "service";
  readonly parent: (Position & { readonly name: string }) | undefined;
  readonly methods: readonly MethodNode[];
}
export interface TypedefNode extends Named {
  readonly kind: "typedef";
  readonly type: TypeRef;
}
export interface ConstNode extends Named {
  readonly kind: "const";
  readonly type: TypeRef;
  readonly value: ConstValue;
}

export type Definition = StructNode | EnumNode | ServiceNode | TypedefNode | ConstNode;

export interface Document {
  readonly file: string;
  readonly namespaces: Readonly<Record<string, string>>;
  readonly includes: readonly (Position & { readonly path: string })[];
  readonly definitions: readonly Definition[];
}

/** A type nested deeper than this is no one's data; it keeps the parser off the end of its stack. */
const maxTypeDepth = 64;

export const parse = (text: string, file = "idl"): Document => new Parser(text, file).document();

class Parser {
  readonly #file: string;
  readonly #tokens: readonly Token[];
  #at = 0;
  #depth = 0;

  constructor(text: string, file: string) {
    this.#file = file;
    this.#tokens = tokens(text, file);
  }

  document(): Document {
    const namespaces: Record<string, string> = Object.create(null) as Record<string, string>;
    const includes: (Position & { path: string })[] = [];
    const definitions: Definition[] = [];
    while (this.#peek.kind !== "end") {
      const token = this.#peek;
      const word = token.kind === "name" ? token.text : "";
      if (word === "include") {
        this.#next();
        const path = this.#expect("text", "the path of an included file, in quotes");
        includes.push({ path: path.text, line: path.line, column: path.column });
      } else if (word === "cpp_include") {
        this.#next();
        this.#expect("text", "a header, in quotes");
      } else if (word === "namespace") {
        this.#next();
        const scope = this.#took("*") ? "*" : this.#name("a language or *").text;
        // Only the fossil `namespace xsd "uri"` quotes it.
        namespaces[scope] = this.#peek.kind === "text" ? this.#next().text : this.#name("a namespace").text;
        this.#annotations();
      } else definitions.push(this.#definition());
      this.#separator();
    }
    return { file: this.#file, namespaces, includes, definitions };
  }

  #definition(): Definition {
    const { doc, ...start } = this.#peek;
    const word = this.#name("a definition (struct, service, enum, ...)");
    switch (word.text) {
      case "typedef": {
        const type = this.#type();
        const name = this.#name("the new type's name");
        return { kind: "typedef", type, ...this.#named(name, doc) };
      }
      case "const": {
        const type = this.#type();
        const name = this.#name("the constant's name");
        this.#mark("=");
        const value = this.#constant();
        return { kind: "const", type, value, ...this.#named(name, doc) };
      }
      case "enum":
        return this.#enum(doc);
      case "senum": {
        // A string with a list of what it may be: read as the string it is on the wire.
        const name = this.#name("a name");
        this.#mark("{");
        while (!this.#took("}")) {
          this.#expect("text", "a text or }");
          this.#separator();
        }
        const type: TypeRef = { kind: "base", name: "string", annotations: {}, line: name.line, column: name.column };
        return { kind: "typedef", type, ...this.#named(name, doc) };
      }
      case "struct":
      case "union":
      case "exception": {
        const name = this.#name(`the name of the ${word.text}`);
        if (this.#peek.text === "xsd_all") this.#next();
        const fields = this.#fields("{", "}");
        return { kind: word.text, fields, ...this.#named(name, doc) };
      }
      case "service":
        return this.#service(doc);
    }
    throw this.#refuse(
      start,
      `expected a definition (struct, union, exception, enum, service, const, typedef, include or namespace), found ${shown(word)}`,
    );
  }

  #enum(doc: string | undefined): EnumNode {
    const name = this.#name("the name of the enum");
    this.#mark("{");
    const members: (Named & { value: number })[] = [];
    let following = 0;
    while (!this.#took("}")) {
      const member = this.#name("a member or }");
      let value = following;
      if (this.#took("=")) {
        const token = this.#peek;
        const given = this.#integer("the member's number");
        if (given < -2147483648n || given > 2147483647n)
          throw this.#refuse(token, `${given} is no 32-bit number; a member of an enum must be one`);
        value = Number(given);
      }
      following = value + 1;
      members.push({ value, ...this.#named(member, member.doc) });
      this.#separator();
    }
    return { kind: "enum", members, ...this.#named(name, doc) };
  }

  #service(doc: string | undefined): ServiceNode {
    const name = this.#name("the name of the service");
    let parent: ServiceNode["parent"];
    if (this.#peek.kind === "name" && this.#peek.text === "extends") {
      this.#next();
      const token = this.#name("the service it extends");
      parent = { name: token.text, line: token.line, column: token.column };
    }
    this.#mark("{");
    const methods: MethodNode[] = [];
    while (!this.#took("}")) methods.push(this.#method());
    return { kind: "service", parent, methods, ...this.#named(name, doc) };
  }

  #method(): MethodNode {
    const doc = this.#peek.doc;
    const oneway = this.#word("oneway") || this.#word("async");
    const isVoid = this.#word("void");
    const result = isVoid ? undefined : this.#type();
    const name = this.#name("the name of the method");
    const args = this.#fields("(", ")");
    const throws = this.#word("throws") ? this.#fields("(", ")") : [];
    const method = { oneway, result, args, throws, ...this.#named(name, doc) };
    this.#separator();
    return method;
  }

  #fields(open: string, close: string): FieldNode[] {
    this.#mark(open);
    const fields: FieldNode[] = [];
    // A field without a number gets one from -1 downwards, as Apache's compiler gives it.
    let implicit = -1;
    while (!this.#took(close)) {
      if (this.#peek.kind === "end") throw this.#unexpected(`a field or ${close}`);
      const doc = this.#peek.doc;
      let id: number;
      if (this.#peek.kind === "int") {
        const token = this.#peek;
        const given = this.#integer("a field's number");
        if (given < -32768n || given > 32767n)
          throw this.#refuse(token, `field number ${given} does not fit 16 bits; use 1 to 32767`);
        id = Number(given);
        this.#mark(":");
      } else id = implicit--;
      const requiredness = this.#word("required") ? "required" : this.#word("optional") ? "optional" : "default";
      const type = this.#type();
      this.#took("&");
      const name = this.#name("the field's name");
      const value = this.#took("=") ? this.#constant() : undefined;
      this.#word("xsd_optional");
      this.#word("xsd_nillable");
      if (this.#word("xsd_attrs")) this.#fields("{", "}");
      fields.push({ id, requiredness, type, value, ...this.#named(name, doc) });
      this.#separator();
    }
    return fields;
  }

  #type(): TypeRef {
    if (++this.#depth > maxTypeDepth) throw this.#refuse(this.#peek, `types nested deeper than ${maxTypeDepth}`);
    const { line, column } = this.#peek;
    const word = this.#name("a type").text;
    let type: TypeRef;
    const plain = { annotations: {}, line, column };
    if (word === "map" && this.#opens()) {
      this.#mark("<");
      const key = this.#type();
      this.#mark(",");
      const value = this.#type();
      this.#mark(">");
      type = { kind: "map", key, value, ...plain };
    } else if ((word === "list" || word === "set") && this.#opens()) {
      this.#mark("<");
      const element = this.#type();
      this.#mark(">");
      this.#cppType();
      type = { kind: word, element, ...plain };
    } else if ((baseNames as readonly string[]).includes(word))
      type = { kind: "base", name: word as BaseName, ...plain };
    else if (word === "slist") type = { kind: "base", name: "string", ...plain };
    else type = { kind: "named", name: word, ...plain };
    this.#depth--;
    return { ...type, annotations: this.#annotations() };
  }

  /** Whether a container's `<` follows (after the fossil cpp_type); else the word is a name of the author's own. */
  #opens(): boolean {
    this.#cppType();
    return this.#peek.kind === "mark" && this.#peek.text === "<";
  }

  #cppType(): void {
    if (this.#word("cpp_type")) this.#expect("text", "a C++ type, in quotes");
  }

  #constant(): ConstValue {
    if (++this.#depth > maxTypeDepth) throw this.#refuse(this.#peek, `a constant nested deeper than ${maxTypeDepth}`);
    const value = this.#constantInside();
    this.#depth--;
    return value;
  }

  #constantInside(): ConstValue {
    const token = this.#peek;
    const { line, column } = token;
    switch (token.kind) {
      case "int":
        return { kind: "int", value: this.#integer("a number"), line, column };
      case "double":
        return { kind: "double", value: Number(this.#next().text), line, column };
      case "text":
      case "name":
        return { kind: token.kind, value: this.#next().text, line, column };
    }
    if (this.#took("[")) {
      const items: ConstValue[] = [];
      while (!this.#took("]")) {
        items.push(this.#constant());
        this.#separator();
      }
      return { kind: "list", items, line, column };
    }
    if (this.#took("{")) {
      const entries: [ConstValue, ConstValue][] = [];
      while (!this.#took("}")) {
        const key = this.#constant();
        this.#mark(":");
        entries.push([key, this.#constant()]);
        this.#separator();
      }
      return { kind: "map", entries, line, column };
    }
    throw this.#unexpected("a constant");
  }

  #named(token: Token, doc: string | undefined): Named {
    return { name: token.text, line: token.line, column: token.column, doc, annotations: this.#annotations() };
  }

  #annotations(): Annotations {
    const found: Record<string, string> = {};
    if (!this.#took("(")) return found;
    while (!this.#took(")")) {
      const key = this.#name("an annotation or )").text;
      const value = this.#took("=") ? this.#expect("text", "the annotation's text, in quotes").text : "1";
      Object.defineProperty(found, key, { value, enumerable: true, configurable: true });
      this.#separator();
    }
    return found;
  }

  get #peek(): Token {
    return this.#tokens[this.#at] as Token;
  }

  #next(): Token {
    const token = this.#peek;
    if (token.kind !== "end") this.#at++;
    return token;
  }

  #took(mark: string): boolean {
    if (this.#peek.kind !== "mark" || this.#peek.text !== mark) return false;
    this.#at++;
    return true;
  }

  /** Takes a word that is special in this place, unless it is a name (`optional` may name a type: `optional x`). */
  #word(text: string): boolean {
    const following = this.#tokens[this.#at + 1];
    if (this.#peek.kind !== "name" || this.#peek.text !== text) return false;
    const special = following?.kind === "name" || text === "throws" || text.startsWith("xsd_") || text === "cpp_type";
    if (special) this.#at++;
    return special;
  }

  #separator(): void {
    if (!this.#took(",")) this.#took(";");
  }

  #mark(mark: string): void {
    if (!this.#took(mark)) throw this.#unexpected(`"${mark}"`);
  }

  #expect(kind: Token["kind"], what: string): Token {
    if (this.#peek.kind !== kind) throw this.#unexpected(what);
    return this.#next();
  }

  #name(what: string): Token {
    return this.#expect("name", what);
  }

  #integer(what: string): bigint {
    const { text } = this.#expect("int", what);
    const digits = text.replace(/^[+-]/, "");
    return text.startsWith("-") ? -BigInt(digits) : BigInt(digits);
  }

  #unexpected(expected: string): ThriftError {
    return this.#refuse(this.#peek, `expected ${expected}, found ${shown(this.#peek)}`);
  }

  #refuse(at: Position, sentence: string): ThriftError {
    return new ThriftError("IDL", `${place(this.#file, at)}: ${sentence}`);
  }
}

const shown = (token: Token): string => (token.kind === "end" ? token.text : JSON.stringify(token.text));
