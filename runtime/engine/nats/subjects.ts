/**
 * The subjects, all under one prefix, so that several clusters can share a server:
 *
 *     PREFIX.to.NODE.CAGE.ID.from.NODE.CAGE.ID.TUNNEL      what one instance sends to another (tunnel.ts)
 *     PREFIX.to.NODE.CAGE.ID.from.NODE.CAGE.ID.=here       that one is here, told to who asked
 *     PREFIX.here.NODE.CAGE.ID                             who is here, told to all
 *     PREFIX.ask.NODE.CAGE.ID                              who is here? (the asker's name)
 *     PREFIX.event.NODE.CAGE.ID.WORDS                      what somebody publishes
 *     PREFIX.inbox.NODE.>                                  answers of JetStream
 *
 * Who sends stands in the subject, and nowhere else: the server's permissions can then prove it (README, "Several nodes").
 * A name may hold what a subject's token may not: such bytes are written as =XX.
 */
import { CageError } from "../../errors.ts";

/** One start of an instance, as a subject names it. */
export interface Address {
  readonly node: string;
  readonly cage: string;
  readonly id: string;
}

/** No name is written so: a tunnel's place in the subject of what is no tunnel's. */
const herePlace = "=here";

/** An unambiguous token of letters, digits, - and _; "=" is the empty text. */
export function token(text: string): string {
  if (/^[A-Za-z0-9_-]+$/.test(text)) return text;
  if (text === "") return "=";
  return text.replace(/[^A-Za-z0-9_-]/gu, (letter) =>
    [...Buffer.from(letter)].map((byte) => `=${byte.toString(16).toUpperCase().padStart(2, "0")}`).join(""),
  );
}

/** What `token` was given. */
export function textOf(token: string): string {
  if (!token.includes("=")) return token;
  return decodeURIComponent(token === "=" ? "" : token.replaceAll("=", "%"));
}

export class Subjects {
  readonly #prefix: string;
  readonly #me: string;
  readonly #mine: Address;

  constructor(prefix: string, me: Address) {
    this.#prefix = prefix;
    this.#mine = me;
    this.#me = path(me);
  }

  /** From this instance. */
  to(other: Address, tunnel: string): string {
    return `${this.#prefix}.to.${path(other)}.from.${this.#me}.${tunnel}`;
  }

  /** To this instance, as messages of that tunnel bear it. */
  from(other: Address, tunnel: string): string {
    return `${this.#prefix}.to.${this.#me}.from.${path(other)}.${tunnel}`;
  }

  hereTo(other: Address): string {
    return this.to(other, herePlace);
  }

  get toMe(): string {
    return `${this.#prefix}.to.${this.#me}.from.*.*.*.*`;
  }

  get here(): string {
    return `${this.#prefix}.here.${this.#me}`;
  }

  get everyHere(): string {
    return `${this.#prefix}.here.*.*.*`;
  }

  get ask(): string {
    return `${this.#prefix}.ask.${this.#me}`;
  }

  get everyAsk(): string {
    return `${this.#prefix}.ask.*.*.*`;
  }

  get inbox(): string {
    return `${this.#prefix}.inbox.${token(this.#mine.node)}`;
  }

  event(subject: string): string {
    return `${this.#prefix}.event.${this.#me}.${words(subject)}`;
  }

  /** A last `*` matches the rest, as it does for every engine (engine.ts). */
  everyEvent(pattern: string): string {
    const fit = pattern.endsWith(".*") ? `${words(pattern.slice(0, -2))}.>` : words(pattern);
    return `${this.#prefix}.event.*.*.*.${fit}`;
  }

  /** Of a subject with one name in it (here, ask, event), or with the name of who sent it (to). */
  senderOf(subject: string): { readonly sender: Address; readonly rest: readonly string[] } {
    const [kind, ...parts] = subject.slice(this.#prefix.length + 1).split(".");
    const [node = "", cage = "", id = "", ...rest] = kind === "to" ? parts.slice(4) : parts;
    return { sender: { node: textOf(node), cage: textOf(cage), id: textOf(id) }, rest };
  }

  /** The other direction of a tunnel. */
  turned(subject: string): string {
    const [to = "", ...parts] = subject.slice(this.#prefix.length + 1).split(".");
    return [this.#prefix, to, ...parts.slice(4, 7), parts[3], ...parts.slice(0, 3), ...parts.slice(7)].join(".");
  }

  isHere(rest: readonly string[]): boolean {
    return rest[0] === herePlace;
  }
}

const path = ({ node, cage, id }: Address): string => `${token(node)}.${token(cage)}.${token(id)}`;

/** The server takes lines of up to 4 KiB; the names before it take their part. */
const longestSubject = 2_048;

function words(subject: string): string {
  const text = subject.split(".").map(token).join(".");
  if (text.length > longestSubject)
    throw new CageError(
      "BAD_INPUT",
      `the subject ${subject.slice(0, 40)}... is ${text.length} characters; ${longestSubject} is the most that NATS can take`,
    );
  return text;
}
