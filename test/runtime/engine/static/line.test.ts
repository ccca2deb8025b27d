import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { here, lineOf, readLine, wanted } from "../../../../runtime/engine/static/line.ts";

const shop = { cage: "shop", process: 1, leaving: false };

describe("a line", () => {
  it("is read whole, however it comes, and what follows it stays", async () => {
    const stream = new PassThrough();
    const read = readLine(stream, here);
    const text = lineOf(shop);
    for (const byte of text.slice(0, -1)) stream.write(byte);
    stream.write("\nrest");
    expect(await read).toEqual(shop);
    const rest = new Promise((resolve) => stream.on("data", (chunk: Buffer) => resolve(chunk.toString())));
    expect(await rest).toBe("rest");
  });

  it("follows another that came with it", async () => {
    const stream = new PassThrough();
    stream.write(lineOf(shop) + lineOf({ ...shop, leaving: true }));
    expect(await readLine(stream, here)).toEqual(shop);
    expect(await readLine(stream, here)).toEqual({ ...shop, leaving: true });
  });

  it.each([
    ["is no JSON", "GET / HTTP/1.1\r\n"],
    ["says something else", '{"cage":"shop"}\n'],
    ["names what is no name", '{"cage":"../x","process":1,"wants":"calls"}\n'],
    ["never ends", "x".repeat(2_000)],
  ])("is refused when it %s", async (_, text) => {
    const stream = new PassThrough();
    stream.write(text);
    await expect(readLine(stream, wanted)).rejects.toMatchObject({ code: "PROTOCOL" });
  });

  it("that does not come to its end with the stream is an error of that stream", async () => {
    const stream = new PassThrough();
    const read = readLine(stream, wanted);
    stream.write('{"cage"');
    stream.destroy();
    await expect(read).rejects.toMatchObject({ code: "UNAVAILABLE" });
    await expect(readLine(stream, wanted)).rejects.toMatchObject({ code: "UNAVAILABLE" });
  });
});
