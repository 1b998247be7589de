// Errors of files, as libuv words them: `code`, `errno`, `syscall`, and the paths.

import { errnoConstants } from "../os-constants.ts";

const WORDS: Record<string, string> = {
  EBADF: "bad file descriptor",
  EEXIST: "file already exists",
  EFBIG: "file too large",
  EINVAL: "invalid argument",
  EIO: "i/o error",
  EISDIR: "illegal operation on a directory",
  ELOOP: "too many symbolic links encountered",
  EMFILE: "too many open files",
  ENAMETOOLONG: "name too long",
  ENOENT: "no such file or directory",
  ENOSPC: "no space left on device",
  ENOSYS: "function not implemented",
  ENOTDIR: "not a directory",
  ENOTEMPTY: "directory not empty",
  EPERM: "operation not permitted",
};

export function fsError(code: string, syscall: string, path?: string, dest?: string): Error {
  const places = `${path === undefined ? "" : ` '${path}'`}${dest === undefined ? "" : ` -> '${dest}'`}`;
  const error = new Error(`${code}: ${WORDS[code] ?? "unknown error"}, ${syscall}${places}`);
  const errno = -((errnoConstants as unknown as Record<string, number>)[code] ?? 0);
  return Object.assign(error, { errno, code, syscall, ...(path === undefined ? {} : { path }), ...(dest === undefined ? {} : { dest }) });
}

/** Failures that `fs.cp` has words of its own for. */
export function cpError(code: string, message: string): Error {
  return Object.assign(new Error(message), { code });
}
