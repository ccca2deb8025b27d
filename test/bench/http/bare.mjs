/** The floor of the http benchmark: node:http, one path recognised by hand, nothing else. Prints its port. */
import { createServer } from "node:http";

const server = createServer((incoming, outgoing) => {
  const body = JSON.stringify({ hello: incoming.url.slice("/hello/".length) });
  outgoing.writeHead(200, { "content-type": "application/json", "content-length": Buffer.byteLength(body) });
  outgoing.end(body);
});
server.listen(0, "127.0.0.1", () => process.stdout.write(`${server.address().port}\n`));
