/** From a resource's configuration to the type of its client, by protocol: what makes `resources<typeof config>()` typed. */
export type ClientOf<R> = R extends { readonly protocol: infer _P } ? unknown : never;
