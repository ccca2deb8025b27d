/** hono on its server for Node, as its guide has it. Prints its port. */
import { serve } from "@hono/node-server";
import { Hono } from "hono";

const app = new Hono();
app.get("/hello/:name", async (context) => context.json({ hello: context.req.param("name") }));
serve({ fetch: app.fetch, port: 0, hostname: "127.0.0.1" }, ({ port }) => process.stdout.write(`${port}\n`));
