/** What a handler gets of a request. What costs something (the URL, the query) is made when it is asked for. */
import type { Readable } from "node:stream";
import { CageError } from "../../errors.ts";

export interface Ask {
  readonly method: string;
  readonly url: URL;
  readonly path: string;
  readonly params: Readonly<Record<string, string>>;
  /** The last value of each name. */
  readonly query: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;
  /** JSON as its value, a form as a record of strings, other text as a string, other bytes as a Buffer. */
  readonly body: unknown;
  /** The body as it comes, of a route with `body: "stream"`; what is not read yet waits at the client. */
  readonly stream: Readable;
  /** The client's address: the peer's, or what a trusted proxy says. */
  readonly from: string;
}

/** What arrived, as far as nobody has interpreted it. */
export interface Arrived {
  readonly method: string;
  /** As sent: path and query. */
  readonly raw: string;
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly secure: boolean;
  readonly from: string;
}

export class Asked implements Ask {
  readonly method: string;
  readonly path: string;
  readonly params: Readonly<Record<string, string>>;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: unknown;
  readonly #arrived: Arrived;
  readonly #stream: Readable | undefined;
  #url: URL | undefined;
  #query: Readonly<Record<string, string>> | undefined;

  constructor(arrived: Arrived, params: Readonly<Record<string, string>>, body: unknown, stream?: Readable) {
    this.method = arrived.method;
    this.path = arrived.path;
    this.headers = arrived.headers;
    this.params = params;
    this.body = body;
    this.#arrived = arrived;
    this.#stream = stream;
  }

  get url(): URL {
    return (this.#url ??= urlOf(this.#arrived));
  }

  get query(): Readonly<Record<string, string>> {
    return (this.#query ??= Object.fromEntries(this.url.searchParams));
  }

  get stream(): Readable {
    if (this.#stream !== undefined) return this.#stream;
    throw new CageError("INTERNAL", 'this route reads its body whole (ask.body); write { answer, body: "stream" }');
  }

  get from(): string {
    return this.#arrived.from;
  }
}

/** Both are a stranger's: "//" is a path here and not another host, and a host is no place for a path. */
function urlOf({ raw, headers, secure }: Arrived): URL {
  const host = headers["host"] ?? headers[":authority"] ?? "localhost";
  const text = raw.startsWith("/") ? `${secure ? "https" : "http"}://${host}${raw}` : raw;
  if (/[/?#@\\]/.test(host) || !URL.canParse(text))
    throw new CageError("BAD_INPUT", "the address, or the host header, is none");
  return new URL(text);
}
