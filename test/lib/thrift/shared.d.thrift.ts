// Made from shared.thrift by `npx tsx lib/thrift/declare.ts shared.thrift`; do not edit.

import type { Idl } from "#lib/thrift/typed.ts";

export interface Point {
  readonly x: number;
  readonly y: number;
}

export interface BaseClient {
  readonly ping: (word?: string | undefined) => Promise<string>;
}

export interface BaseHandler {
  readonly ping: (word?: string | undefined) => string | Promise<string>;
}

declare const idl: Idl<{
  readonly Base: BaseClient;
}, object>;
export default idl;
