import { defineCage } from "#runtime";

export const config = defineCage({
  interfaces: {
    comet: {
      protocol: "comet",
      port: 8085,
      // Pages of this machine, on any port; a site names its own origin here.
      origins: ["http://localhost:*", "http://127.0.0.1:*"],
      // Each packet is a request: all browsers of a restarted site subscribe at once.
      waiting: 20_000,
    },
  },
});
