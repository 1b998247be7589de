// `fs.glob`: names below a directory that match patterns.
//
// Invariant: no directory is walked twice on one path, so links cannot make a walk endless.

import { invalidArgType, requireObject, requireString } from "../errors.ts";
import { compileGlob, expandBraces } from "../glob.ts";
import { workingDirectory } from "../working-directory.ts";
import { URL } from "../../web/url.ts";
import { Directory } from "./nodes.ts";
import type { Node } from "./nodes.ts";
import { fsConstants } from "./constants.ts";
import { Dirent } from "./stats.ts";
import { resolve } from "./vfs.ts";

/** Directories deep that a walk goes. */
const DEPTH_MAX = 256;

interface Settings {
  cwd: string;
  typed: boolean;
  exclude: (name: string, entry: Dirent) => boolean;
}

function settingsOf(given: unknown): Settings {
  const { cwd, withFileTypes = false, exclude } = requireObject(given, "options");
  const folder = cwd instanceof URL ? cwd.pathname : (cwd ?? workingDirectory());
  const typed = Boolean(withFileTypes);
  let excludes: Settings["exclude"] = () => false;
  if (typeof exclude === "function") {
    excludes = (name, entry) => Boolean((exclude as (it: unknown) => unknown)(typed ? entry : name));
  } else if (Array.isArray(exclude)) {
    const matchers = exclude.map((pattern) => compileGlob(requireString(pattern, "options.exclude")));
    excludes = (name) => matchers.some((matches) => matches(name));
  } else if (exclude !== undefined) {
    throw invalidArgType("options.exclude", ["function", "string[]"], exclude);
  }
  return { cwd: requireString(folder, "options.cwd"), typed, exclude: excludes };
}

export function* globNames(pattern: unknown, options: unknown = {}): Generator<string | Dirent> {
  const patterns = (Array.isArray(pattern) ? pattern : [pattern]).map((each) => requireString(each, "pattern"));
  const settings = settingsOf(options);
  const seen = new Set<string>();
  for (const one of patterns.flatMap(expandBraces)) {
    const isAbsolute = one.startsWith("/");
    const clean = one.replace(/^\.\//, "").replace(/\/+/g, "/");
    const start = isAbsolute ? "/" : settings.cwd;
    const node = resolve(start, "follow", "glob");
    if (node?.kind !== "directory") continue;
    const matches = compileGlob(isAbsolute ? clean.slice(1) : clean);
    const depth = clean.includes("**") ? DEPTH_MAX : clean.split("/").length;
    for (const [name, found] of walk(node, "", depth, new Set())) {
      const shown = isAbsolute ? `/${name}` : name;
      if (seen.has(shown) || !matches(name)) continue;
      const entry = direntOf(shown, found, start);
      if (settings.exclude(shown, entry)) continue;
      seen.add(shown);
      yield settings.typed ? entry : shown;
    }
  }
}

function direntOf(name: string, node: Node, start: string): Dirent {
  const slash = name.lastIndexOf("/");
  const folder = slash < 0 ? start : name.startsWith("/") ? name.slice(0, slash) || "/" : `${start}/${name.slice(0, slash)}`;
  const { UV_DIRENT_CHAR, UV_DIRENT_DIR, UV_DIRENT_FILE, UV_DIRENT_LINK } = fsConstants;
  const type = node.kind === "directory" ? UV_DIRENT_DIR : node.kind === "symlink" ? UV_DIRENT_LINK : node.device ? UV_DIRENT_CHAR : UV_DIRENT_FILE;
  return new Dirent(name.slice(slash + 1), type, folder);
}

function* walk(directory: Directory, prefix: string, depth: number, above: Set<Directory>): Generator<[name: string, node: Node]> {
  if (depth <= 0 || above.has(directory)) return;
  above.add(directory);
  for (const [key, node] of [...directory.entries].toSorted(([a], [b]) => (a < b ? -1 : 1))) {
    const name = `${prefix}${key}`;
    yield [name, node];
    const inner = node.kind === "symlink" ? resolve(node.target, "follow", "glob") : node;
    if (inner?.kind === "directory") yield* walk(inner, `${name}/`, depth - 1, above);
  }
  above.delete(directory);
}
