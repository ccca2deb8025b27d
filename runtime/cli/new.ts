/** ./cage new NAME: a cage of two small files, ready to start. */
import { existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { isName } from "../cage/paths.ts";
import { CageError } from "../errors.ts";
import type { Command } from "./main.ts";

export const create: Command = {
  usage: "NAME",
  summary: "make a cage of two small files",
  async run(given) {
    const [name] = given.words;
    if (name === undefined || !isName(name))
      throw new CageError("BAD_INPUT", "new takes a name of 1-32 of A-Z a-z 0-9 _ -: ./cage new shop");
    const folder = join(given.paths.cages, name);
    if (existsSync(folder)) throw new CageError("CONFLICT", `${folder} exists already; choose another name`);
    const module = /^[A-Za-z_][A-Za-z0-9_]*$/.test(name) ? name : name.replace(/\W/g, "_").replace(/^(\d)/, "_$1");
    mkdirSync(folder, { recursive: true });
    writeFileSync(
      join(folder, `${module}.ts`),
      `/** What ${name} does. Save this file while it runs, and the next request is answered by the new code. */\nexport function hello(who: string): string {\n  return \`hello, \${who}\`;\n}\n`,
    );
    writeFileSync(
      join(folder, "api.ts"),
      `/** What other cages (and ./cage call) may call; nothing else is reachable. */\nexport * as ${module} from "./${module}.ts";\n`,
    );
    process.stdout.write(
      `made cages/${name}/${module}.ts and cages/${name}/api.ts\n  ./cage start ${name}\n  ./cage call ${name} ${module}.hello '"you"'\n`,
    );
    return 0;
  },
};
