/**
 * Files for browsers, in memory, named by their content. A name, once given out, goes on being answered (pages that are
 * open still ask for it after an upgrade), up to a bound: then the oldest go.
 *
 *     const store = createStore();
 *     const style = store.put("site.css", text);            "site-3Q0ZK1XA.css"
 *     const found = await store.get(name, headers["accept-encoding"], headers["if-none-match"]);
 *     found ? { status: found.status, headers: found.headers, body: found.body } : 404 with no-store
 *
 * Answers are immutable for a year, compressed once when first asked for (off the event loop), and never guess a type.
 */
import { createHash } from "node:crypto";
import { promisify } from "node:util";
import { brotliCompress, constants, gzip } from "node:zlib";

const brotli = promisify(brotliCompress);
const gzipped = promisify(gzip);

export interface AssetAnswer {
  readonly status: 200 | 304;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

export interface AssetStore {
  /** Answers the name to link to: `name` with a hash of the content, or as it is when it carries one already (`hashed`). */
  put(name: string, content: string | Uint8Array, options?: { readonly hashed?: boolean }): string;
  get(name: string, acceptEncoding?: string, ifNoneMatch?: string): Promise<AssetAnswer | undefined>;
}

const types: Readonly<Record<string, string>> = {
  css: "text/css; charset=utf-8",
  js: "text/javascript; charset=utf-8",
  json: "application/json",
  map: "application/json",
  svg: "image/svg+xml",
  png: "image/png",
  jpg: "image/jpeg",
  webp: "image/webp",
  avif: "image/avif",
  ico: "image/x-icon",
  woff2: "font/woff2",
  txt: "text/plain; charset=utf-8",
};
const compressible = /^(text\/|application\/json|image\/svg)/;

/** About a month of a busy developer's saves; a site that deploys daily keeps much longer. */
const maxBytes = 64 * 1024 * 1024;

interface Asset {
  readonly type: string;
  readonly etag: string;
  readonly plain: Uint8Array;
  readonly encoded: Map<string, Promise<Uint8Array>>;
}

export function createStore(limits: { readonly maxBytes?: number } = {}): AssetStore {
  const assets = new Map<string, Asset>();
  const most = limits.maxBytes ?? maxBytes;
  let bytes = 0;

  return {
    put(name, content, options) {
      const plain = typeof content === "string" ? Buffer.from(content) : content;
      const hash = createHash("sha256").update(plain).digest("hex").slice(0, 12);
      const dot = name.lastIndexOf(".");
      const type = types[name.slice(dot + 1)];
      if (type === undefined)
        throw Object.assign(new Error(`"${name}" is of no kind that assets have`), { code: "ASSET" });
      const full = options?.hashed ? name : `${name.slice(0, dot)}-${hash}${name.slice(dot)}`;
      const old = assets.get(full);
      // Put again, it is the newest again.
      assets.delete(full);
      assets.set(full, old ?? { type, etag: `"${hash}"`, plain, encoded: new Map() });
      if (old === undefined) bytes += plain.length;
      for (const [oldest, asset] of assets) {
        if (bytes <= most || oldest === full) break;
        assets.delete(oldest);
        bytes -= asset.plain.length;
      }
      return full;
    },

    async get(name, acceptEncoding = "", ifNoneMatch = "") {
      const asset = assets.get(name);
      if (asset === undefined) return undefined;
      const able = compressible.test(asset.type) && asset.plain.length > 500;
      const encoding = !able
        ? ""
        : /\bbr\b/.test(acceptEncoding)
          ? "br"
          : /\bgzip\b/.test(acceptEncoding)
            ? "gzip"
            : "";
      const headers: Record<string, string> = {
        "content-type": asset.type,
        "cache-control": "public, max-age=31536000, immutable",
        etag: asset.etag,
        "x-content-type-options": "nosniff",
        "cross-origin-resource-policy": "cross-origin",
        "access-control-allow-origin": "*",
      };
      if (able) headers["vary"] = "accept-encoding";
      if (encoding !== "") headers["content-encoding"] = encoding;
      if (ifNoneMatch.split(",").some((tag) => tag.trim().replace(/^W\//, "") === asset.etag)) {
        return { status: 304, headers, body: new Uint8Array() };
      }
      return { status: 200, headers, body: encoding === "" ? asset.plain : await encode(asset, encoding) };
    },
  };
}

function encode(asset: Asset, encoding: "br" | "gzip"): Promise<Uint8Array> {
  let made = asset.encoded.get(encoding);
  if (made === undefined) {
    // Quality 9 takes a few milliseconds once where 11 takes a hundred, for three per cent.
    made =
      encoding === "br"
        ? brotli(asset.plain, { params: { [constants.BROTLI_PARAM_QUALITY]: 9 } })
        : gzipped(asset.plain);
    asset.encoded.set(encoding, made);
  }
  return made;
}
