/**
 * IDL text to tokens, each with its line and column (from 1). A doc comment goes to the token it stands before; other
 * comments vanish. Words are never reserved here: the parser knows from the place whether `list` is a type or a name.
 */
import { ThriftError } from "./errors.ts";

export interface Position {
  readonly line: number;
  readonly column: number;
}

export type TokenKind = "name" | "int" | "double" | "text" | "mark" | "end";

export interface Token extends Position {
  readonly kind: TokenKind;
  /** The name, the digits, the unescaped text, or the punctuation character. */
  readonly text: string;
  readonly doc: string | undefined;
}

// One alternative a group; sticky, so that nothing is skipped unseen. No alternative can backtrack over another.
const pattern =
  /([ \t\r\n\uFEFF]+)|(\/\/[^\n]*|#[^\n]*)|(\/\*[\s\S]*?\*\/)|([A-Za-z_][A-Za-z0-9_.]*)|([+-]?0[xX][0-9A-Fa-f]+)|([+-]?(?:\d+\.\d*(?:[eE][+-]?\d+)?|\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+))|([+-]?\d+)|("(?:[^"\\]|\\[\s\S])*"|'(?:[^'\\]|\\[\s\S])*')|([{}()<>[\]:;,=*&])/y;

const escapes: Readonly<Record<string, string>> = { n: "\n", t: "\t", r: "\r", "0": "\0" };

export const place = (file: string, at: Position): string => `${file}:${at.line}:${at.column}`;

export function tokens(text: string, file: string): Token[] {
  const found: Token[] = [];
  let line = 1;
  let lineStart = 0;
  let at = 0;
  let doc: string | undefined;
  while (at < text.length) {
    pattern.lastIndex = at;
    const match = pattern.exec(text);
    const column = at - lineStart + 1;
    if (match === null) throw new ThriftError("IDL", `${file}:${line}:${column}: ${unreadable(text, at)}`);
    const [whole, , , block, name, hex, double, int, quoted] = match;
    const push = (kind: TokenKind, value: string) => {
      found.push({ kind, text: value, line, column, doc });
      doc = undefined;
    };
    if (name !== undefined) push("name", name);
    else if (hex !== undefined || int !== undefined) push("int", (hex ?? int) as string);
    else if (double !== undefined) push("double", double);
    else if (quoted !== undefined) push("text", unquoted(quoted));
    else if (block !== undefined) {
      if (block.startsWith("/**") && block.length > 4) doc = prose(block);
    } else if (match[9] !== undefined) push("mark", whole);
    at += whole.length;
    for (let newline = whole.indexOf("\n"); newline >= 0; newline = whole.indexOf("\n", newline + 1)) {
      line++;
      lineStart = at - whole.length + newline + 1;
    }
  }
  found.push({ kind: "end", text: "the end of the file", line, column: at - lineStart + 1, doc });
  return found;
}

function unreadable(text: string, at: number): string {
  const start = text[at] as string;
  if (start === '"' || start === "'") return "a text that is never closed; end it with the quote it began with";
  if (text.startsWith("/*", at)) return "a comment that is never closed; end it with */";
  return `unexpected character ${JSON.stringify(String.fromCodePoint(text.codePointAt(at) as number))}`;
}

const unquoted = (quoted: string): string =>
  quoted.slice(1, -1).replace(/\\([\s\S])/g, (_, char: string) => escapes[char] ?? char);

/** The words of a doc comment, without its stars. */
const prose = (block: string): string =>
  block
    .slice(3, -2)
    .split("\n")
    .map((row) => row.replace(/^\s*\* ?/, "").trimEnd())
    .join("\n")
    .trim();
