import { defineCage } from "#runtime";

export const config = defineCage({
  interfaces: { greeter: { protocol: "http", port: 8081 } },
});
