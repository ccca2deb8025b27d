/** fastify as its guide has it: no logger, an async handler that returns a value. Prints its port. */
import fastify from "fastify";

const server = fastify();
server.get("/hello/:name", async (request) => ({ hello: request.params.name }));
await server.listen({ port: 0, host: "127.0.0.1" });
process.stdout.write(`${server.server.address().port}\n`);
