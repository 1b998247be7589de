// `fs.cp`: trees copied within the file system.
//
// Invariant: a directory is never copied into itself.

import { cpError, fsError } from "./errors.ts";
import { Directory } from "./nodes.ts";
import type { Node } from "./nodes.ts";
import { namesOf, resolve } from "./vfs.ts";

export interface CpSettings {
  dereference: boolean;
  errorOnExist: boolean;
  force: boolean;
  recursive: boolean;
}

export function copyTree(src: string, dest: string, settings: CpSettings): void {
  const [from, to] = [`/${namesOf(src).join("/")}`, `/${namesOf(dest).join("/")}`];
  if (from === to) throw new Error("Source and destination paths must not be the same");
  if (to.startsWith(from === "/" ? from : `${from}/`)) {
    throw cpError("ERR_FS_CP_EINVAL", `Cannot copy '${from}' to a subdirectory of itself, '${to}'`);
  }
  const links = settings.dereference ? "follow" : "keep";
  const node = resolve(from, links, "cp");
  if (node === undefined) throw fsError("ENOENT", "cp", from);
  const there = resolve(to, links, "cp");
  if (node.kind === "directory") return copyDirectory(node, there, to, settings);
  if (there?.kind === "directory") {
    if (node.kind === "symlink") throw fsError("ENOTDIR", "cp", from, to);
    throw cpError("ERR_FS_CP_NON_DIR_TO_DIR", "Cannot overwrite directory with non-directory");
  }
  if (there !== undefined && !settings.force) {
    if (settings.errorOnExist) throw cpError("ERR_FS_CP_EEXIST", "Target already exists");
    return;
  }
  const names = namesOf(to);
  const name = names.pop() as string;
  put(directoryAt(names), name, node);
}

function copyDirectory(source: Directory, there: Node | undefined, to: string, settings: CpSettings): void {
  if (!settings.recursive) throw cpError("ERR_FS_EISDIR", "Recursive option not enabled, cannot copy a directory");
  if (there?.kind === "file") throw cpError("ERR_FS_CP_DIR_TO_NON_DIR", "Cannot overwrite non-directory with directory");
  if (there?.kind === "symlink") throw fsError("ENOTDIR", "cp", to);
  merge(source, there ?? directoryAt(namesOf(to)), settings);
}

/** The directory of these names, made as far as it is missing. */
function directoryAt(names: readonly string[]): Directory {
  let path = "";
  let directory = resolve("/", "follow", "cp") as Directory;
  for (const name of names) {
    path += `/${name}`;
    const node = resolve(path, "follow", "cp");
    if (node === undefined) {
      const made = new Directory(true);
      directory.add(name, made, "cp");
      directory = made;
    } else if (node.kind === "directory") {
      directory = node;
    } else {
      throw fsError("ENOTDIR", "cp", path);
    }
  }
  return directory;
}

/** Takes the place of what is there. Links are shared, files copied. */
function put(directory: Directory, name: string, node: Node): void {
  const copy = node.kind === "file" ? node.clone("cp") : node;
  directory.remove(name, false, "cp");
  directory.add(name, copy, "cp");
}

function merge(source: Directory, target: Directory, settings: CpSettings): void {
  if (!target.writable) throw fsError("EPERM", "cp");
  if (source === target) throw fsError("EINVAL", "cp");
  for (const [name, node] of [...source.entries]) {
    const there = target.entries.get(name);
    if (node.kind === "directory") {
      if (there === undefined) {
        const made = new Directory(true);
        target.add(name, made, "cp");
        merge(node, made, settings);
      } else if (there.kind === "directory") {
        merge(node, there, settings);
      } else {
        throw fsError(there.kind === "file" ? "ENOTDIR" : "EISDIR", "cp", name);
      }
    } else if (there?.kind === "directory") {
      throw fsError("EISDIR", "cp", name);
    } else if (there === undefined || (settings.force && there !== node)) {
      put(target, name, node);
    } else if (there !== node && settings.errorOnExist) {
      throw fsError("EEXIST", "cp", name);
    }
  }
}
