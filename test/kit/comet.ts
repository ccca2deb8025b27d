/**
 * A comet interface on a free port with a host that keeps the contract: real sockets, one request at a time or many,
 * the module in `host.module` at the moment of each piece of work (put another one there to "reload").
 */
import type { Server } from "node:net";
import { comet } from "../../runtime/interfaces/comet/comet.ts";
import type { CometSession } from "../../runtime/interfaces/comet/conversation.ts";
import { type CometOptions, options } from "../../runtime/interfaces/comet/options.ts";
import type { Handler, Interface, InterfaceHost, Work } from "../../runtime/interfaces/interface.ts";
import type { Request } from "../../runtime/request/request.ts";
import { asRequest } from "./request.ts";

export interface Module {
  connect?(session: CometSession): unknown;
  message?(session: CometSession, text: string): unknown;
  disconnect?(session: CometSession, reason: string): unknown;
}

export interface Running {
  readonly url: string;
  readonly interface: Interface;
  module: Module;
  /** Runs before each piece of work; a throw refuses it. */
  before: (work: Work) => Promise<void> | void;
  stop(): Promise<void>;
}

export async function startComet(module: Module, given: Partial<CometOptions> = {}): Promise<Running> {
  const host: InterfaceHost = {
    name: "comet",
    cage: "test",
    answers: new Map(),
    named: true,
    claim: () => true,
    keyOf: () => undefined,
    adopt: () => () => {},
    listen: (server: Server, address) =>
      new Promise((resolve, reject) => {
        server.once("error", reject);
        server.listen(address, () => resolve({ port: (server.address() as { port: number }).port }));
      }),
    async serve<T>(work: Work, handler: (module: Handler, request: Request) => Promise<T> | T): Promise<T> {
      await running.before(work);
      return await asRequest(async (request) => await handler(running.module as Handler, request));
    },
    take(work, runner) {
      const done = host.serve(work, (module, request) => runner.handle(module, request));
      done.then(
        (value) => runner.resolve(value),
        (error: unknown) => runner.reject(error),
      );
    },
    onSwap: () => () => {},
    peek: () => running.module as Handler,
  };
  const made = comet.create(options.parse({ port: 0, ...given }), host);
  const running: Running = {
    get url() {
      return made.url!;
    },
    interface: made,
    module,
    before: () => {},
    async stop() {
      await made.drain();
      await made.stop();
    },
  };
  await made.start();
  return running;
}
