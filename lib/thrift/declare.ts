/**
 * TypeScript's view of an IDL: the text of `NAME.d.thrift.ts`, which stands beside NAME.thrift and gives
 * `import idl from "./NAME.thrift"` its type (tsconfig: allowArbitraryExtensions).
 *
 *     npx tsx lib/thrift/declare.ts cages/impact/planet.thrift      writes cages/impact/planet.d.thrift.ts
 *
 * A struct is an interface with readonly properties; what may be absent on the wire may be absent here (an `optional`
 * field, one without `required`, one with a default). A parameter is there unless it is optional or has a default. An
 * enum is a union of its numbers, a union `{ kind: "field", value }`, i64 a bigint unless (js.type = "number"),
 * map<string, V> a Record, any other map a Map.
 */
import { readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, resolve } from "node:path";
import { pathToFileURL } from "node:url";
import { type Field, type Method, type Schema, type Service, type Struct, schemaOf, type Type } from "./schema.ts";

export function declare(schema: Schema, file: string): string {
  const blocks: string[] = [];
  for (const node of schema.document.definitions) {
    const about = comment(node.doc, "");
    switch (node.kind) {
      case "typedef":
        blocks.push(`${about}export type ${node.name} = ${typeText(schema.typedefs.get(node.name) as Type)};`);
        break;
      case "enum": {
        const values = [...new Set(schema.enums.get(node.name)?.members.values())];
        blocks.push(`${about}export type ${node.name} = ${values.join(" | ") || "never"};`);
        break;
      }
      case "struct":
      case "union":
      case "exception":
        blocks.push(about + structText(schema.structs.get(node.name) as Struct));
        break;
      case "service":
        blocks.push(about + serviceText(schema.services.get(node.name) as Service, schema));
        break;
    }
  }
  const services = [...schema.services.keys()].map((name) => `  readonly ${name}: ${name}Client;`);
  const constants = [
    ...[...schema.enums.values()].map((each) => {
      const members = [...each.members].map(([name, value]) => `readonly ${name}: ${value}`);
      return `  readonly ${each.name}: { ${members.join("; ")} };`;
    }),
    ...[...schema.constants].map(([name, { type }]) => `  readonly ${name}: ${typeText(type)};`),
  ];
  const imports = [...schema.includes.keys()].map((prefix) => {
    const path = schema.document.includes.find((each) => basename(each.path, ".thrift") === prefix)?.path as string;
    return `import type * as ${prefix} from "${path.startsWith(".") ? path : `./${path}`}";`;
  });
  return `${[
    `// Made from ${basename(file)} by \`npx tsx lib/thrift/declare.ts ${basename(file)}\`; do not edit.`,
    ['import type { Idl } from "#lib/thrift/typed.ts";', ...imports].join("\n"),
    ...blocks,
    `declare const idl: Idl<${inline(services)}, ${inline(constants)}>;\nexport default idl;`,
  ].join("\n\n")}\n`;
}

const block = (head: string, rows: readonly string[]): string =>
  rows.length === 0 ? `${head} {}` : `${head} {\n${rows.join("\n")}\n}`;

const inline = (rows: readonly string[]): string => (rows.length === 0 ? "object" : `{\n${rows.join("\n")}\n}`);

// A parameter of such a name is no TypeScript; a property of it is.
const reserved = new Set(
  (
    "break case catch class const continue debugger default delete do else enum export extends false finally for function " +
    "if implements import in instanceof interface let new null package private protected public return static super " +
    "switch this throw true try typeof var void while with yield"
  ).split(" "),
);

function structText(struct: Struct): string {
  if (struct.kind === "union") {
    const cases = struct.fields.map(
      (field) =>
        `\n${comment(field.doc, "  ")}  | { readonly kind: ${JSON.stringify(field.name)}; readonly value: ${typeText(field.type)} }`,
    );
    return `export type ${struct.name} =${cases.join("") || " never"};`;
  }
  return block(
    `export interface ${struct.name}`,
    struct.fields.map((field) => {
      const certain = field.requiredness === "required" && field.value === undefined;
      const type = typeText(field.type);
      return `${comment(field.doc, "  ")}  readonly ${field.name}${certain ? `: ${type}` : `?: ${type} | undefined`};`;
    }),
  );
}

function serviceText(service: Service, schema: Schema): string {
  const written = schema.document.definitions.find((node) => node.kind === "service" && node.name === service.name);
  const parent = written?.kind === "service" ? written.parent?.name : undefined;
  const face = (suffix: "Client" | "Handler") =>
    block(
      `export interface ${service.name}${suffix}${parent === undefined ? "" : ` extends ${parent}${suffix}`}`,
      service.own.map((method) => {
        const about = comment(method.doc, "  ");
        return `${about}  readonly ${method.name}: (${parameters(method)}) => ${answer(method, suffix)};`;
      }),
    );
  return `${face("Client")}\n\n${face("Handler")}`;
}

function answer(method: Method, suffix: "Client" | "Handler"): string {
  const type = method.result === undefined ? "void" : typeText(method.result);
  return suffix === "Client" ? `Promise<${type}>` : `${type} | Promise<${type}>`;
}

function parameters(method: Method): string {
  const may = (field: Field) => field.requiredness === "optional" || field.value !== undefined;
  return method.args
    .map((field, at) => {
      const type = typeText(field.type);
      const name = reserved.has(field.name) ? `${field.name}_` : field.name;
      if (!may(field)) return `${name}: ${type}`;
      // TypeScript allows a question mark only where none without one follows.
      const last = method.args.slice(at).every(may);
      return last ? `${name}?: ${type} | undefined` : `${name}: ${type} | undefined`;
    })
    .join(", ");
}

function typeText(type: Type): string {
  if (type.alias !== undefined) return type.alias;
  switch (type.kind) {
    case "bool":
      return "boolean";
    case "i8":
    case "i16":
    case "i32":
    case "double":
      return "number";
    case "i64":
      return type.number ? "number" : "bigint";
    case "string":
    case "uuid":
      return "string";
    case "binary":
      return "Uint8Array";
    case "enum":
      return type.enum.name;
    case "struct":
      return type.struct.name;
    case "list":
      return `readonly ${element(type.element)}[]`;
    case "set":
      return `ReadonlySet<${typeText(type.element)}>`;
    case "map":
      return type.key.kind === "string"
        ? `Readonly<Record<string, ${typeText(type.value)}>>`
        : `ReadonlyMap<${typeText(type.key)}, ${typeText(type.value)}>`;
  }
}

const element = (type: Type): string => {
  const text = typeText(type);
  return text.startsWith("readonly ") ? `(${text})` : text;
};

const comment = (doc: string | undefined, indent: string): string => {
  if (doc === undefined || doc === "") return "";
  const rows = doc.replaceAll("*/", "* /").split("\n");
  if (rows.length === 1) return `${indent}/** ${rows[0]} */\n`;
  return `${indent}/**\n${rows.map((row) => `${indent} * ${row}`.trimEnd()).join("\n")}\n${indent} */\n`;
};

/** The declaration of a file on disk; includes are looked for beside the file that names them. */
export function declareFile(file: string): string {
  const schema = schemaOf(readFileSync(file, "utf8"), {
    file,
    include: (path, from) => {
      const found = resolve(dirname(from), path);
      return { text: readFileSync(found, "utf8"), file: found };
    },
  });
  return declare(schema, file);
}

export const declarationPath = (file: string): string => file.replace(/\.thrift$/, ".d.thrift.ts");

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  for (const file of process.argv.slice(2)) {
    writeFileSync(declarationPath(file), declareFile(file));
    process.stdout.write(`${declarationPath(file)}\n`);
  }
}
