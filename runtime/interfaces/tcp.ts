/**
 * The tcp interface: lines in, a line out for each, in their order. What a terminal, a script or a device can speak.
 *
 *     interfaces: { lines: { protocol: "tcp", port: 7000, answers: { line: "greeter.hello(who)" } } }
 *
 *     {"who":"you"}\n    ->    "hello, you"\n
 *     {"who":           ->    {"error":{"code":"BAD_INPUT","message":"the line is not JSON"}}\n
 *
 * A line is a JSON value: the fields are an object's members, anything else is { value }. With `format: "text"` it is
 * text, { line }, and a string is answered as it is; with `format: "bytes"` likewise, as bytes. The field `body` is the
 * whole value, text or bytes. Beside or instead of `answers`, the module of the interface's name
 * may export `line(value)`. Several lines may be sent before the first answer; they run side by side.
 *
 * Promises: a client costs at most one line of input, its pipelined requests and what it has not read of its answers;
 * one that says nothing whole in `idleMs`, or does not read, is let go. A line that is too long ends the connection,
 * since where the next one begins cannot be known.
 */
import { createServer, type Server, type Socket } from "node:net";
import { z } from "../../lib/schema.ts";
import { CageError, type Code } from "../errors.ts";
import { answerWith, fieldsOf } from "./answers.ts";
import { Client, leavesWith } from "./client.ts";
import type { Interface, InterfaceHost, InterfaceProtocol } from "./interface.ts";
import { jsonOf, refusalOf } from "./json.ts";

const options = z.strictObject({
  /** 0 takes a free one. */
  port: z.int().min(0).max(65_535),
  host: z.string().min(1).default("127.0.0.1"),
  format: z.enum(["json", "text", "bytes"]).default("json"),
  /** Held in memory until its end arrives. */
  maxLineBytes: z
    .int()
    .min(16)
    .max(16 * 1024 * 1024)
    .default(64 * 1024),
  /** Lines of one connection that run or wait for their turn to be answered; the rest stay unread. */
  maxPipelined: z.int().min(1).max(10_000).default(64),
  /** Between two whole lines. Bytes alone do not count: a line sent by the drop would hold its connection for ever. */
  idleMs: z.int().min(100).default(120_000),
  /** One file descriptor and some 20 KB each; more are closed as they come. */
  maxConnections: z.int().min(1).default(1_000),
});

type Options = z.output<typeof options>;

/** Answers that the client has not read: beyond this no more of its lines are taken. */
const unreadBytes = 256 * 1024;
/** A client that does not close after our last answer is not waited for. */
const goodbyeMs = 1_000;

class Tcp implements Interface {
  readonly #options: Options;
  readonly #host: InterfaceHost;
  readonly #server: Server;
  readonly #open = new Set<Connection>();
  #port: number | undefined;

  constructor(chosen: Options, host: InterfaceHost) {
    this.#options = chosen;
    this.#host = host;
    // Half open: a script that has said everything still reads its answers.
    this.#server = createServer({ allowHalfOpen: true, noDelay: true, keepAlive: true }, (socket) => {
      const connection = new Connection(socket, chosen, host);
      this.#open.add(connection);
      socket.once("close", () => this.#open.delete(connection));
    });
    this.#server.maxConnections = chosen.maxConnections;
  }

  get url(): string | undefined {
    return this.#port === undefined ? undefined : `tcp://${this.#options.host}:${this.#port}`;
  }

  async start(): Promise<void> {
    const { host, port } = this.#options;
    this.#port = (await this.#host.listen(this.#server, { host, port })).port;
  }

  async drain(): Promise<void> {
    this.#server.close();
    await Promise.all([...this.#open].map((connection) => connection.drain()));
  }

  async stop(): Promise<void> {
    this.#server.close();
    for (const connection of this.#open) connection.destroy();
  }
}

class Connection {
  readonly #socket: Socket;
  readonly #options: Options;
  readonly #host: InterfaceHost;
  readonly #client: Client;
  readonly #closed: Promise<void>;
  /** What arrived of a line that is not whole yet, in pieces: joined once. */
  readonly #pieces: Buffer[] = [];
  #held = 0;
  /** Lines that are whole and have no place among the pipelined yet: those of one read, at most. */
  #next: (() => Promise<string>)[] = [];
  #pipelined = 0;
  #last: Promise<void> = Promise.resolve();
  /** No line is taken any more; the connection ends with its last answer. */
  #ending = false;
  readonly #idle: NodeJS.Timeout;

  constructor(socket: Socket, chosen: Options, host: InterfaceHost) {
    this.#socket = socket;
    this.#options = chosen;
    this.#host = host;
    this.#client = new Client(host, socket.remoteAddress);
    leavesWith(socket, this.#client);
    this.#idle = setTimeout(() => this.#tire(), chosen.idleMs).unref();
    this.#closed = new Promise((resolve) => {
      socket.once("close", () => {
        clearTimeout(this.#idle);
        this.#next = [];
        resolve();
      });
    });
    // Its close follows, and says all there is to know.
    socket.on("error", () => {});
    socket.on("drain", () => this.#breathe());
    socket.on("end", () => this.#end());
    socket.on("data", (bytes: Buffer) => this.#take(bytes));
  }

  /** Answers what it began; refuses what it has read, and takes no more. */
  async drain(): Promise<void> {
    this.#next = this.#next.map(() => refused("UNAVAILABLE", "this instance is leaving; ask again"));
    this.#end();
    await this.#closed;
  }

  destroy(): void {
    this.#socket.destroy();
  }

  #take(bytes: Buffer): void {
    if (this.#ending) return;
    let from = 0;
    for (let at = bytes.indexOf(10); at >= 0; at = bytes.indexOf(10, from)) {
      this.#pieces.push(bytes.subarray(from, at));
      this.#held += at - from;
      from = at + 1;
      if (this.#held > this.#options.maxLineBytes) return this.#refuse();
      const line = Buffer.concat(this.#pieces, this.#held);
      this.#next.push(() => this.#serve(line));
      this.#pieces.length = 0;
      this.#held = 0;
      this.#idle.refresh();
    }
    if (from < bytes.length) this.#pieces.push(bytes.subarray(from));
    this.#held += bytes.length - from;
    if (this.#held > this.#options.maxLineBytes) return this.#refuse();
    this.#breathe();
  }

  #refuse(): void {
    const { maxLineBytes } = this.#options;
    this.#next.push(refused("TOO_LARGE", `the line is longer than ${maxLineBytes} bytes; send less at once`));
    this.#end();
  }

  /** Begins what there is room for; reads on when all is begun. */
  #breathe(): void {
    while (this.#next.length > 0 && this.#room) this.#answer((this.#next.shift() as () => Promise<string>)());
    // When it ends, what comes is read and dropped: closing with words unread would throw away our last ones.
    if (this.#ending || (this.#room && this.#next.length === 0)) this.#socket.resume();
    else this.#socket.pause();
    if (!this.#ending || this.#next.length > 0 || this.#pipelined > 0 || this.#socket.writableEnded) return;
    this.#socket.end();
    const late = setTimeout(() => this.#socket.destroy(), goodbyeMs).unref();
    this.#socket.once("close", () => clearTimeout(late));
  }

  get #room(): boolean {
    return this.#pipelined < this.#options.maxPipelined && this.#socket.writableLength < unreadBytes;
  }

  /** Written after all that began before it. */
  #answer(work: Promise<string>): void {
    this.#pipelined++;
    const text = work.catch((error: unknown) => jsonOf(refusalOf(error)));
    this.#last = this.#last.then(async () => {
      const line = await text;
      this.#pipelined--;
      if (this.#socket.destroyed) return;
      this.#socket.write(`${line}\n`);
      this.#idle.refresh();
      this.#breathe();
    });
  }

  async #serve(bytes: Buffer): Promise<string> {
    const { format } = this.#options;
    const result = await this.#client.serve({ label: "line" }, (module, request) => {
      const value = format === "bytes" ? bytes : format === "text" ? textOf(bytes) : parsed(textOf(bytes));
      const own = module["line"];
      if (typeof own === "function") return own(value) as unknown;
      const answer = this.#host.answers.get("line");
      if (answer === undefined)
        throw new CageError("NOT_FOUND", "nothing answers lines here; export line(value), or say answers: { line }");
      return answerWith(answer, fieldsOf(answer, value, format === "json" ? "value" : "line"), request);
    });
    return format !== "json" && typeof result === "string" ? result : jsonOf(result);
  }

  /** No new line; what runs is answered, then it ends. */
  #end(): void {
    this.#ending = true;
    this.#breathe();
  }

  #tire(): void {
    // Work has a deadline of its own; a client that does not read what it asked for has not.
    if (this.#pipelined > 0) return void this.#idle.refresh();
    if (this.#socket.writableLength > 0) this.#socket.destroy();
    else this.#socket.destroySoon();
  }
}

const refused = (code: Code, sentence: string) => () => Promise.reject<string>(new CageError(code, sentence));

const textOf = (bytes: Buffer): string => bytes.toString("utf8").replace(/\r$/, "");

function parsed(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch (cause) {
    throw new CageError("BAD_INPUT", "the line is not JSON", { cause });
  }
}

export const tcp: InterfaceProtocol<Options> = {
  protocol: "tcp",
  options: options as unknown as z.ZodType<Options>,
  create: (chosen, host) => new Tcp(chosen, host),
  validate(module, _, answers) {
    if (module["line"] !== undefined && typeof module["line"] !== "function")
      throw new CageError("LOAD", "a tcp module's line has to be a function: line(value) => answer");
    if (module["line"] === undefined && !answers?.has("line"))
      throw new CageError(
        "LOAD",
        "the module of a tcp interface exports line(value), or its configuration has answers",
      );
  },
  checkName(name) {
    if (name !== "line") throw new CageError("CONFIG", `tcp asks for 'line' only, not '${name}'`);
  },
};
