/**
 * Bundles TypeScript, JavaScript, CSS and JSON with esbuild. The only file that knows esbuild; it is loaded at the first
 * bundle and not before, so that a process which finds its bundles made already (see kept.ts) never pays for a compiler.
 *
 *     const { files } = await bundle({ entries: { cli: "runtime/cli/main.ts" }, outdir: "state/build", platform: "node" });
 *     const { files } = await bundle({ entries: { live: "web/live.ts" }, outdir, platform: "browser", hashed: true, write: false });
 *
 * Output is ESM (CSS for a CSS entry), one file an entry, and shared chunks with `splitting`. For node every package stays an
 * import; for the browser everything is taken in except `external`. With `hashed`, names carry a hash of their content:
 * `live-5KQ2ZV7A.js`. A mistake in the source rejects with code `BUNDLE`, the file, line and frame in its message.
 */
import { createHash } from "node:crypto";
import { isAbsolute, join, relative } from "node:path";

export interface BundleOptions {
  /** Name of the output without its extension -> source file. */
  readonly entries: Readonly<Record<string, string>>;
  readonly outdir: string;
  readonly platform: "node" | "browser";
  /** Left as imports: package names, paths or patterns (`#runtime`, `*.node`). */
  readonly external?: readonly string[];
  /** Import specifier -> file taken in its place. */
  readonly alias?: Readonly<Record<string, string>>;
  readonly define?: Readonly<Record<string, string>>;
  readonly splitting?: boolean;
  readonly minify?: boolean;
  /** Output names carry a hash of their content. Default: no. */
  readonly hashed?: boolean;
  /** Write to `outdir`. Default: yes; without, `outdir` only names where the files would be. */
  readonly write?: boolean;
  readonly sourcemap?: "linked" | "inline";
  /** The folder that relative paths start from. Default: the working directory. */
  readonly root?: string;
}

export interface BundledFile {
  /** Relative to `outdir`. */
  readonly name: string;
  readonly path: string;
  readonly text: string;
  /** SHA-256 of the text, in hex. */
  readonly hash: string;
  /** The key in `entries` that this file answers; undefined for a shared chunk or a map. */
  readonly entry: string | undefined;
  /** Other files of this bundle that load with it. */
  readonly imports: readonly string[];
}

export interface Bundle {
  readonly files: readonly BundledFile[];
  /** Every source file that was read, absolute. */
  readonly inputs: readonly string[];
}

export class BundleError extends Error {
  readonly code = "BUNDLE";
}

export async function bundle(options: BundleOptions): Promise<Bundle> {
  const { build, formatMessages } = await import("esbuild");
  const root = options.root ?? process.cwd();
  const outdir = isAbsolute(options.outdir) ? options.outdir : join(root, options.outdir);
  const named = options.hashed ? "[name]-[hash]" : "[name]";
  const sources = new Map<string, string>();
  for (const [name, file] of Object.entries(options.entries)) {
    sources.set(relative(root, isAbsolute(file) ? file : join(root, file)), name);
  }

  const result = await build({
    absWorkingDir: root,
    entryPoints: Object.entries(options.entries).map(([out, file]) => ({ out, in: file })),
    outdir,
    entryNames: named,
    chunkNames: "[name]-[hash]",
    assetNames: "[name]-[hash]",
    bundle: true,
    format: "esm",
    charset: "utf8",
    platform: options.platform,
    target: options.platform === "node" ? "node20" : ["chrome111", "firefox115", "safari16.4"],
    // Packages of the server have native parts and files of their own: they stay where npm put them.
    ...(options.platform === "node" ? { packages: "external" } : {}),
    external: [...(options.external ?? [])],
    alias: { ...options.alias },
    define: { ...options.define },
    splitting: options.splitting ?? false,
    minify: options.minify ?? false,
    ...(options.sourcemap === undefined ? {} : { sourcemap: options.sourcemap }),
    write: options.write ?? true,
    metafile: true,
    logLevel: "silent",
  }).catch(async (thrown: { errors?: Parameters<typeof formatMessages>[0]; message: string }) => {
    const told = thrown.errors?.length ? (await formatMessages(thrown.errors, { kind: "error" })).join("\n") : "";
    throw new BundleError(told.trim() || thrown.message, { cause: thrown });
  });

  // With `write`, esbuild keeps no contents: they are read back from the same place.
  const { readFile } = await import("node:fs/promises");
  const texts = new Map((result.outputFiles ?? []).map((file) => [relative(root, file.path), file.text]));
  const files = await Promise.all(
    Object.entries(result.metafile.outputs).map(async ([path, meta]): Promise<BundledFile> => {
      const absolute = join(root, path);
      const text = texts.get(path) ?? (await readFile(absolute, "utf8"));
      return {
        name: relative(outdir, absolute),
        path: absolute,
        text,
        hash: createHash("sha256").update(text).digest("hex"),
        entry: meta.entryPoint === undefined ? undefined : sources.get(meta.entryPoint),
        imports: meta.imports
          .filter((link) => !link.external && link.kind !== "dynamic-import")
          .map((link) => relative(outdir, join(root, link.path))),
      };
    }),
  );
  return { files, inputs: Object.keys(result.metafile.inputs).map((path) => join(root, path)) };
}
