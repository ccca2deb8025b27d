/**
 * A request of HTTP/1 as node's parser makes it (an option of its server), whose end costs nothing when there is no body.
 *
 * A message is a stream, so node ends, resumes, dumps, destroys and closes one after another the empty stream of each GET:
 * seven of the nine turns of the tick queue that a request took, each seen by the hooks of AsyncLocalStorage. Here it ends
 * at once, in silence: nobody ever listens to it, as nothing can be read of it (body.ts looks before it reads).
 */
import { IncomingMessage } from "node:http";
import { hasBody } from "./body.ts";

export class Incoming extends IncomingMessage {
  #over = false;

  /** The parser says with null that the message is whole. */
  override push(chunk: unknown, encoding?: BufferEncoding): boolean {
    if (chunk !== null || hasBody(this)) return super.push(chunk, encoding);
    this.#over = true;
    return false;
  }

  static {
    // The server lets go of a message that was read, and else waits for its end. (A getter, though its type denies it.)
    Object.defineProperty(Incoming.prototype, "readableEnded", {
      get(this: Incoming): boolean {
        return this.#over || (Reflect.get(IncomingMessage.prototype, "readableEnded", this) as boolean);
      },
    });
  }

  /** The server throws away what nobody read, once the answer is sent. */
  override resume(): this {
    return this.#over ? this : super.resume();
  }
}
