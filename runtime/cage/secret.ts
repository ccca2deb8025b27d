/**
 * A secret by reference: `secret("cookies")` in a configuration or a module names it, `.reveal()` reads it at the moment
 * of use. It comes from the environment (CAGE_SECRET_cookies), else from state/secrets/cookies, which is made on first
 * use with 256 random bits, readable by this user only. Printed or serialised, it shows its name and nothing else.
 */
import { randomBytes } from "node:crypto";
import { existsSync, linkSync, mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { inspect } from "node:util";
import { CageError } from "../errors.ts";

let directory: string | undefined;

/** Once, by the process's wiring. */
export function keepSecretsIn(stateDir: string): void {
  directory = join(stateDir, "secrets");
}

export interface Secret {
  readonly name: string;
  reveal(): string;
}

export function secret(name: string): Secret {
  if (!/^[A-Za-z0-9._-]{1,64}$/.test(name))
    throw new CageError("CONFIG", `a secret's name is 1-64 of A-Z a-z 0-9 . _ -, not '${name}'`);
  const shown = { secret: name };
  return {
    name,
    reveal: () => process.env[`CAGE_SECRET_${name}`] ?? fromFile(name),
    ...({
      toJSON: () => shown,
      toString: () => `secret(${name})`,
      [inspect.custom]: () => `secret(${name})`,
    } as object),
  };
}

function fromFile(name: string): string {
  if (directory === undefined) throw new CageError("CONFIG", `secret ${name} was asked for outside a cage`);
  return keptIn(directory, name);
}

/** 256 random bits under this name, as text; made when it is not there yet. */
export function keptIn(directory: string, name: string): string {
  const file = join(directory, name);
  mkdirSync(directory, { recursive: true, mode: 0o700 });
  if (!existsSync(file)) make(file);
  const text = readFileSync(file, "utf8").trim();
  // An empty key would sign for everybody.
  if (text === "") throw new CageError("CONFIG", `${file} is empty; remove it, and a new secret is made`);
  return text;
}

/** Two cages may ask first at the same moment, and a disk may be full: the file is there whole, or not at all. */
function make(file: string): void {
  const beside = `${file}.${process.pid}`;
  try {
    writeFileSync(beside, randomBytes(32).toString("base64url"), { mode: 0o600 });
    linkSync(beside, file);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EEXIST") throw error;
  } finally {
    rmSync(beside, { force: true });
  }
}
