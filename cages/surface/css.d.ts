/** A stylesheet imported by a module is its text; what is imported is watched, and bundled by assets.ts. */
declare module "*.css" {
  const text: string;
  // biome-ignore lint/style/noDefaultExport: it is how a text file is imported
  export default text;
}
