/**
 * The first JavaScript that runs: makes sure that packages are installed and that the runtime is built, then loads the
 * built command line in this same process. Plain JavaScript, because nothing is there yet to compile anything.
 *
 * The build lies in state/build/HASH, named by the content of runtime/ and lib/: made once, made again when they change
 * (a change is noticed by size and time, decided by content), so a start loads no compiler. Older builds stay a while,
 * for the processes that still run on them.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath, pathToFileURL } from "node:url";

const home = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
const keptBuilds = 5;

function fail(sentence) {
  process.stderr.write(`cage: ${sentence}\n`);
  process.exit(1);
}

function checkNode() {
  const [major, minor] = process.versions.node.split(".").map(Number);
  if (major < 20 || (major === 20 && minor < 19))
    fail(`Node ${process.versions.node} is too old; install Node 20.19 or newer and try again`);
}

/** npm ci when node_modules is absent or older than the lock file. */
function install() {
  const lock = join(home, "package-lock.json");
  const stamp = join(home, "node_modules", ".installed");
  const modules = lstatSync(join(home, "node_modules"), { throwIfNoEntry: false });
  // An installation as a package, or node_modules shared by a link, is somebody else's to keep.
  if (!existsSync(lock) || modules?.isSymbolicLink()) return;
  // npm's own mark, which it writes last, counts too: whoever ran npm ci by hand need not wait for a second one.
  const marks = [stamp, join(home, "node_modules", ".package-lock.json")];
  const fresh = () =>
    marks.some((mark) => statSync(mark, { throwIfNoEntry: false })?.mtimeMs >= statSync(lock).mtimeMs);
  if (fresh()) return;
  const release = hold(join(home, "state", "install.lock"));
  // Whoever held it before has installed it meanwhile.
  if (!fresh()) installHere(lock, stamp);
  release();
}

/** One at a time: two starts in a fresh clone would both empty node_modules. A holder that died holds nothing. */
function hold(file) {
  const holderLives = () => {
    try {
      process.kill(Number(readFileSync(file, "utf8")) || process.pid, 0);
      return true;
    } catch (error) {
      return error.code === "EPERM";
    }
  };
  mkdirSync(dirname(file), { recursive: true });
  for (;;) {
    try {
      writeFileSync(file, String(process.pid), { flag: "wx" });
      const release = () => rmSync(file, { force: true });
      process.once("exit", release);
      return release;
    } catch (error) {
      if (error.code !== "EEXIST") throw error;
    }
    if (!holderLives()) rmSync(file, { force: true });
    else Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, 100);
  }
}

function installHere(lock, stamp) {
  const hash = createHash("sha256").update(readFileSync(lock)).digest("hex");
  if (existsSync(stamp) && readFileSync(stamp, "utf8") === hash) {
    utimesSync(stamp, new Date(), new Date());
    return;
  }
  for (const tool of ["npm", "python3", "make", "g++"]) {
    try {
      execFileSync("sh", ["-c", `command -v ${tool}`], { stdio: "ignore" });
    } catch {
      fail(
        `${tool} is needed to install the packages (better-sqlite3 is compiled here); install it (on Debian: apt-get install ${tool}) and try again`,
      );
    }
  }
  process.stderr.write("cage: installing packages (npm ci); about two minutes, better-sqlite3 is compiled here\n");
  const done = spawnSync("npm", ["ci", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: home,
    stdio: ["ignore", 2, 2],
  });
  if (done.status !== 0) fail("npm ci failed; what it said stands above. Mend that and try again");
  writeFileSync(stamp, hash);
}

/** Path, size and time of every source file: cheap to compare, and only a hint. */
function sources() {
  const rows = [];
  const walk = (folder) => {
    for (const entry of readdirSync(join(home, folder), { withFileTypes: true })) {
      const path = `${folder}/${entry.name}`;
      if (entry.isDirectory()) walk(path);
      else if (/\.(ts|mjs|json)$/.test(entry.name)) {
        const { size, mtimeMs } = statSync(join(home, path));
        rows.push([path, size, mtimeMs]);
      }
    }
  };
  for (const folder of ["runtime", "lib"]) walk(folder);
  return rows.sort((a, b) => (a[0] < b[0] ? -1 : 1));
}

/** The folder of the current build; built when missing. */
function built() {
  const base = join(home, "state", "build");
  const file = join(base, "current.json");
  const rows = sources();
  const seen = JSON.stringify(rows);
  try {
    const current = JSON.parse(readFileSync(file, "utf8"));
    if (current.seen === seen && existsSync(join(base, current.hash, "main.js"))) return join(base, current.hash);
  } catch {
    // No build yet, or half a file: build.
  }
  const digest = createHash("sha256");
  for (const [path] of rows)
    digest
      .update(path)
      .update("\0")
      .update(readFileSync(join(home, path)))
      .update("\0");
  const lock = join(home, "package-lock.json");
  if (existsSync(lock)) digest.update(readFileSync(lock));
  const hash = digest.digest("hex").slice(0, 16);
  mkdirSync(base, { recursive: true });
  if (!existsSync(join(base, hash, "main.js"))) {
    const done = spawnSync(
      process.execPath,
      ["--import", "tsx", join(home, "runtime", "cli", "build.ts"), join(base, hash)],
      { cwd: home, stdio: ["ignore", 2, 2] },
    );
    if (done.status !== 0) fail("the runtime could not be built; what esbuild said stands above");
    const builds = readdirSync(base, { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => [statSync(join(base, entry.name)).mtimeMs, entry.name])
      .sort((a, b) => b[0] - a[0]);
    for (const [, name] of builds.slice(keptBuilds)) rmSync(join(base, name), { recursive: true, force: true });
  }
  writeFileSync(file, JSON.stringify({ hash, seen }));
  return join(base, hash);
}

checkNode();
install();
const folder = built();
const { main } = await import(pathToFileURL(join(folder, "main.js")).href);
await main({ home, build: folder, args: process.argv.slice(2) });
