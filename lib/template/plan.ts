/**
 * The plan of a template: what is fixed, where the holes are, and what each may hold. Made once for each call site from
 * its strings, by the same code on the server and in the browser, so that both see the same nodes.
 *
 *     html`<a class="p ${kind}" href=${url}>${name}</a>`
 *     -> "<a", attr class ["p ", ""], attr href ["", ""], ">", text (an only child), "</a>"
 *
 * A hole has a place in text, in the value of an attribute (`a=${x}`, `a="x ${y} z"`, `?a=${x}`, `.a=${x}`) or as a whole
 * attribute (`${on(...)}`). Anywhere else it is refused with a TemplateError, as is a template that a parser would repair
 * (unclosed tags, a block in a paragraph): the browser could not walk it in step with the page.
 *
 * Space: a line break with its indentation is dropped beside a tag's inner edge and where it stands alone, and is one
 * space between words; `<pre>` and `<textarea>` keep all. Comments are dropped.
 */
import { allowedAttribute, allowedPrefix, isUrlAttribute, TemplateError } from "./allowed.ts";

export type Spot =
  | { readonly kind: "text"; readonly at: number; only: boolean }
  /** The whole content of a `<title>` or `<textarea>`: fixed parts with values between them. */
  | { readonly kind: "content"; readonly at: number; readonly statics: readonly string[] }
  | {
      readonly kind: "attr";
      readonly at: number;
      readonly name: string;
      readonly statics: readonly string[];
      readonly quote: string;
      readonly url: boolean;
    }
  | { readonly kind: "bool" | "prop"; readonly at: number; readonly name: string }
  | { readonly kind: "on"; readonly at: number };

export interface Plan {
  /** Fixed markup and spots by turns, in the order of the page. */
  readonly tokens: readonly (string | Spot)[];
  /** The tag of the one element that this template consists of; undefined when it is anything else. */
  readonly root: string | undefined;
}

const words = (list: string): ReadonlySet<string> => new Set(list.split(" "));
const voids = words("area base br col embed hr img input link meta param source track wbr");
const shapes = words("path circle ellipse line rect polyline polygon use stop image animate");
const blocks = words(
  "p div ul ol dl table form section article aside header footer main nav h1 h2 h3 h4 h5 h6 pre hr figure",
);
const notInItself = words("a button form p option select");

type State =
  | "text"
  | "tag"
  | "inside"
  | "name"
  | "equals"
  | "value"
  | "bare"
  | "after"
  | "comment"
  | "raw"
  | "rcdata"
  | "doctype";

export function plan(strings: readonly string[]): Plan {
  const tokens: (string | Spot)[] = [];
  const open: string[] = [];
  let state = "text" as State;
  let out = "";
  let text = "";
  /** What the text being read began after: an opening tag or the template's start, or anything else. */
  let innerEdge = true;
  let tag = "";
  let closing = false;
  let name = "";
  let quote = "";
  let value = "";
  let statics: string[] | undefined;
  let first = 0;
  let equiv = false;
  let elements = 0;
  let others = 0;
  let root = "";
  let i = 0;
  let at = 0;

  const refuse = (why: string): never => {
    const seen = [...strings.slice(0, i), (strings[i] ?? "").slice(0, at + 1)].join("{…}");
    throw new TemplateError(`${why} (at the end of: ${seen.slice(-60).replace(/\s+/g, " ").trim()})`);
  };
  const spot = (made: Spot): void => {
    if (out !== "") tokens.push(out);
    out = "";
    tokens.push(made);
  };
  const flushText = (closes: boolean): void => {
    if (text === "") return;
    if (!open.includes("pre")) {
      const broken = (run: string): boolean => run.includes("\n");
      if (/^\s+$/.test(text)) text = broken(text) ? "" : " ";
      else {
        text = text
          .replace(/^\s+/, (run) => (broken(run) && innerEdge ? "" : " "))
          .replace(/\s+$/, (run) => (broken(run) && closes ? "" : " "))
          .replace(/[ \t]*\n\s*/g, " ");
      }
    }
    if (text !== "") {
      if (open.length === 0) others++;
      innerEdge = false;
    }
    out += text;
    text = "";
  };
  const attribute = (): void => {
    if (name === "" || closing) return;
    if (statics === undefined) {
      if (/^(s|k|s-channel)$/.test(name)) refuse(`the attribute "${name}" is written by the template itself`);
      if (tag === "meta" && name.toLowerCase() === "http-equiv") equiv = true;
      out += ` ${name}`;
      if (state === "value" || state === "bare" || quote !== "")
        out += quote === "" ? `=${value}` : `=${quote}${value}${quote}`;
    } else {
      statics.push(value);
      const mark = name[0];
      if (mark === "?" || mark === ".") {
        if (statics.length !== 2 || statics.join("") !== "") refuse(`${name} takes one hole and nothing beside it`);
        allowedAttribute(tag, name.slice(1), refuse);
        spot({ kind: mark === "?" ? "bool" : "prop", at: first, name: name.slice(1) });
      } else {
        allowedAttribute(tag, name, refuse);
        if (equiv && name === "content") refuse("a hole cannot choose where a page refreshes to");
        const url = isUrlAttribute(name);
        if (url && statics.join("") + statics.length !== "2") allowedPrefix(statics[0] ?? "", refuse);
        // A value checked as a whole is the one hole; a longer one is safe by its fixed beginning.
        spot({ kind: "attr", at: first, name, statics, quote: quote || '"', url: url && statics[0] === "" });
      }
    }
    name = value = quote = "";
    statics = undefined;
  };
  const endOfTag = (selfClosed: boolean): void => {
    attribute();
    if (closing) {
      const expected = open.pop();
      if (expected !== tag) refuse(`</${tag}> closes <${expected ?? "nothing"}>; close what was opened`);
      out += `</${tag}>`;
    } else {
      out += ">";
      const inSvg = open.includes("svg") || tag === "svg" || open.includes("math") || shapes.has(tag);
      if (selfClosed && !voids.has(tag) && !inSvg) refuse(`<${tag}/> does not close in HTML; write <${tag}></${tag}>`);
      if (selfClosed && inSvg) out = `${out.slice(0, -1)}/>`;
      else if (!voids.has(tag)) open.push(tag);
    }
    innerEdge = !closing && !selfClosed && !voids.has(tag);
    const inner = innerEdge ? tag : "";
    // A parser drops the first line break after these; so that a value may begin with one, it gets one to drop.
    if (inner === "pre" || inner === "textarea") out += "\n";
    state =
      inner === "script" || inner === "style" ? "raw" : inner === "textarea" || inner === "title" ? "rcdata" : "text";
    value = "";
    statics = undefined;
  };
  const openTag = (): void => {
    if (closing) return;
    const parent = open.at(-1);
    if (parent === "p" && blocks.has(tag)) refuse(`<${tag}> cannot stand in <p>: the parser would end the paragraph`);
    if (parent === "table" && tag === "tr")
      refuse("<tr> cannot stand in <table>: put it in <tbody>, as the parser would");
    if (notInItself.has(tag) && open.includes(tag)) refuse(`<${tag}> cannot stand in <${tag}>`);
    if (open.length === 0) {
      elements++;
      root = tag;
    }
    out += `<${tag}`;
  };

  for (i = 0; i < strings.length; i++) {
    const part = strings[i] ?? "";
    for (at = 0; at < part.length; at++) {
      const char = part[at] as string;
      const rest = part.slice(at, at + 10);
      const space = char <= " ";
      switch (state) {
        case "text":
          if (char !== "<") text += char;
          else if (rest.startsWith("<!--")) state = "comment";
          else if (/^<!doctype/i.test(rest)) {
            state = "doctype";
            out += char;
            others++;
          } else if (/^<\/?[a-z]/i.test(rest)) {
            closing = rest[1] === "/";
            flushText(closing);
            if (closing) at++;
            tag = "";
            equiv = false;
            state = "tag";
          } else
            refuse(
              /^<\/?$/.test(rest)
                ? "a hole cannot be a tag name; choose between two templates"
                : "write &lt; for a < that begins no tag",
            );
          break;
        case "tag":
          if (space || char === ">" || char === "/") {
            openTag();
            state = "inside";
            at--;
          } else tag += char;
          break;
        case "inside":
        case "after":
          if (char === ">") endOfTag(false);
          else if (rest.startsWith("/>")) {
            at++;
            endOfTag(true);
          } else if (!space) {
            if (state === "after") refuse("a hole is the whole value of an attribute, or stands in quotes");
            name = char;
            state = "name";
          } else state = "inside";
          break;
        case "name":
          if (char === "=") state = "equals";
          else if (space || char === ">" || rest.startsWith("/>")) {
            attribute();
            state = "inside";
            at--;
          } else name += char;
          break;
        case "equals":
          if (char === '"' || char === "'") {
            quote = char;
            state = "value";
          } else if (!space) {
            value = char;
            state = "bare";
          }
          break;
        case "value":
          if (char === quote) {
            attribute();
            state = "inside";
          } else value += char;
          break;
        case "bare":
          if (space || char === ">") {
            attribute();
            state = "inside";
            at--;
          } else value += char;
          break;
        case "comment":
          if (rest.startsWith("-->")) {
            at += 2;
            state = "text";
          }
          break;
        case "doctype":
          out += char;
          if (char === ">") state = "text";
          break;
        case "raw":
        case "rcdata":
          if (rest.toLowerCase().startsWith(`</${tag}`)) {
            if (statics === undefined) out += value;
            else spot({ kind: "content", at: first, statics: [...statics, value] });
            value = "";
            statics = undefined;
            state = "text";
            at--;
          } else value += char;
          break;
        default:
          state satisfies never;
      }
    }
    if (i === strings.length - 1) break;
    switch (state) {
      case "text":
        flushText(false);
        if (open.length === 0) others++;
        // An only child needs no marks around it; the other half of the test is what follows, below.
        spot({ kind: "text", at: i, only: innerEdge && />\n?$/.test(out) });
        innerEdge = false;
        break;
      case "inside":
        if (closing) refuse("a hole cannot stand in a closing tag");
        spot({ kind: "on", at: i });
        break;
      case "equals":
        first = i;
        statics = [""];
        attribute();
        state = "after";
        break;
      case "value":
      case "rcdata":
        if (state === "value" && closing) refuse("a hole cannot stand in a closing tag");
        if (statics === undefined) {
          statics = [];
          first = i;
        }
        statics.push(value);
        value = "";
        break;
      case "bare":
        refuse("a hole is the whole value of an attribute, or stands in quotes");
        break;
      case "tag":
        refuse("a hole cannot be a tag name; choose between two templates");
        break;
      case "name":
      case "after":
        refuse("a hole cannot be (part of) an attribute name");
        break;
      case "comment":
      case "doctype":
        refuse("a hole cannot stand in a comment or doctype");
        break;
      case "raw":
        refuse(`a hole cannot stand in <${tag}>; data goes into a page by jsonScript()`);
        break;
      default:
        state satisfies never;
    }
  }
  if (state !== "text") refuse("the template ends inside a tag or comment");
  flushText(true);
  if (open.length > 0) refuse(`<${open.at(-1)}> is not closed`);
  if (out !== "") tokens.push(out);
  tokens.forEach((token, at) => {
    if (typeof token === "string" || token.kind !== "text" || !token.only) return;
    const next = tokens[at + 1];
    token.only = typeof next === "string" && next.startsWith("</");
  });
  return { tokens, root: elements === 1 && others === 0 ? root : undefined };
}
