/**
 * An IDL's text, typed by what it declares. `import planet from "./planet.thrift"` gives the text at run time; its type
 * stands in planet.d.thrift.ts beside it (made by declare.ts) and is an `Idl` of the file's services.
 *
 *     type Client = ThriftClient<typeof planet>;        // { Forum: { thread(session, id): Promise<ThreadPage> } }
 *     export const services: ThriftHandlers<typeof planet> = { Forum: { thread: async (session, id) => ... } };
 */

declare const declared: unique symbol;

/** `Services` maps each service's name to its client interface; `Constants` each enum and const to its value's type. */
export type Idl<Services = object, Constants = object> = string & {
  readonly [declared]: { readonly services: Services; readonly constants: Constants };
};

export type ThriftClient<I> = I extends Idl<infer Services, infer _> ? Services : never;

type Answer<Method> = Method extends (...args: infer Args) => Promise<infer Result>
  ? (...args: Args) => Result | Promise<Result>
  : never;

/** What the module of a thrift interface exports as `services`: each method may answer now or later. */
export type ThriftHandlers<I> = {
  readonly [Service in keyof ThriftClient<I>]: {
    readonly [Name in keyof ThriftClient<I>[Service]]: Answer<ThriftClient<I>[Service][Name]>;
  };
};

export type ThriftConstants<I> = I extends Idl<infer _, infer Constants> ? Constants : never;
