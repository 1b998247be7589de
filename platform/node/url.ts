// node:url: the URL Standard's classes, the older functions (see `url-legacy.ts`), and files as URLs.

import { ops } from "../ops.ts";
import { URL, URLSearchParams } from "../web/url.ts";
import { Buffer } from "./buffer.ts";
import { coded, invalidArgType, invalidArgValue, missingArgs, requireObject, requireString } from "./errors.ts";
import { posix, win32 } from "./path.ts";
import { formatLegacy, Url, urlParse, urlResolve, urlResolveObject } from "./url-legacy.ts";

interface FormatOptions {
  fragment?: unknown;
  unicode?: unknown;
  search?: unknown;
  auth?: unknown;
}

/** Known by its looks, so that URLs of other makers pass. */
export function isUrl(value: unknown): value is URL {
  const url = value as { href?: unknown; protocol?: unknown; auth?: unknown; path?: unknown } | null | undefined;
  return Boolean(url?.href && url.protocol && url.auth === undefined && url.path === undefined);
}

function format(url: unknown, options?: unknown): string {
  if (!(url instanceof URL)) return formatLegacy(url);
  const { fragment = true, unicode = false, search = true, auth = true } = (options == null ? {} : requireObject(options, "options")) as FormatOptions;
  const host = unicode ? unicodeHost(url) : url.host;
  let text = url.protocol;
  const hasHost = url.href.startsWith(`${url.protocol}//`);
  if (hasHost) {
    text += "//";
    if (auth && (url.username || url.password)) text += `${url.username}${url.password ? `:${url.password}` : ""}@`;
    text += host;
  }
  return `${text}${url.pathname}${search ? url.search : ""}${fragment ? url.hash : ""}`;
}

function unicodeHost(url: URL): string {
  const name = ops.urlDomainToUnicode(url.hostname);
  return `${name === "" ? url.hostname : name}${url.port ? `:${url.port}` : ""}`;
}

function domainToASCII(...args: [domain?: unknown]): string {
  if (args.length < 1) throw missingArgs("domain");
  return ops.urlDomainToAscii(`${args[0] as string}`);
}

function domainToUnicode(...args: [domain?: unknown]): string {
  if (args.length < 1) throw missingArgs("domain");
  return ops.urlDomainToUnicode(`${args[0] as string}`);
}

// ---- Files -----------------------------------------------------------------------------------

function badFileUrl(why: string): Error {
  return coded(new TypeError(`File URL path ${why}`), "ERR_INVALID_FILE_URL_PATH");
}

function fileUrlOf(given: unknown): URL {
  const url = typeof given === "string" ? new URL(given) : given;
  if (!isUrl(url)) throw invalidArgType("path", ["string", "URL"], given);
  if (url.protocol !== "file:") throw coded(new TypeError("The URL must be of scheme file"), "ERR_INVALID_URL_SCHEME");
  return url;
}

function isWindows(options: unknown): boolean {
  return Boolean((options as { windows?: unknown } | null | undefined)?.windows);
}

function windowsPath(url: URL): string {
  if (/%2f|%5c/i.test(url.pathname)) throw badFileUrl("must not include encoded \\ or / characters");
  const path = decodeURIComponent(url.pathname.replaceAll("/", "\\"));
  if (url.hostname !== "") return `\\\\${ops.urlDomainToUnicode(url.hostname)}${path}`;
  if (!/^[a-z]/i.test(path[1] ?? "") || path[2] !== ":") throw badFileUrl("must be absolute");
  return path.slice(1);
}

function posixPath(url: URL): string {
  if (url.hostname !== "") {
    throw coded(new TypeError('File URL host must be "localhost" or empty on linux'), "ERR_INVALID_FILE_URL_HOST");
  }
  if (/%2f/i.test(url.pathname)) throw badFileUrl("must not include encoded / characters");
  return decodeURIComponent(url.pathname);
}

export function fileURLToPath(path: unknown, options?: unknown): string {
  const url = fileUrlOf(path);
  return isWindows(options) ? windowsPath(url) : posixPath(url);
}

/** The path's own bytes, which need not be text. */
function fileURLToPathBuffer(path: unknown, options?: unknown): Buffer {
  const url = fileUrlOf(path);
  if (isWindows(options)) return Buffer.from(windowsPath(url));
  posixHost(url);
  const { pathname } = url;
  const bytes: number[] = [];
  for (let at = 0; at < pathname.length; at++) {
    const hex = pathname[at] === "%" ? pathname.slice(at + 1, at + 3) : "";
    if (/^[0-9a-f]{2}$/i.test(hex)) {
      bytes.push(Number.parseInt(hex, 16));
      at += 2;
    } else {
      bytes.push(pathname.charCodeAt(at));
    }
  }
  return Buffer.from(bytes);
}

function posixHost(url: URL): void {
  if (url.hostname !== "") posixPath(url);
  if (/%2f/i.test(url.pathname)) throw badFileUrl("must not include encoded / characters");
}

function escapePath(path: string, windows: boolean): string {
  const escaped = path.replace(/[%\n\r\t #?"[\]^|~]/g, (sign) => `%${sign.charCodeAt(0).toString(16).toUpperCase().padStart(2, "0")}`);
  return windows ? escaped : escaped.replaceAll("\\", "%5C");
}

export function pathToFileURL(given: unknown, options?: unknown): URL {
  const path = requireString(given, "filepath");
  const windows = isWindows(options);
  if (windows && path.startsWith("\\\\")) {
    const hostEnd = path.indexOf("\\", 2);
    if (hostEnd < 0) throw invalidArgValue("path", path, "Missing UNC resource path");
    if (hostEnd === 2) throw invalidArgValue("path", path, "Empty UNC servername");
    const url = new URL("file://");
    url.hostname = ops.urlDomainToAscii(path.slice(2, hostEnd));
    url.pathname = escapePath(path.slice(hostEnd).replaceAll("\\", "/"), windows);
    return url;
  }
  let resolved = windows ? win32.resolve(path) : posix.resolve(path);
  // Resolving drops a separator at the end.
  const endsInSeparator = path.endsWith("/") || (windows && path.endsWith("\\"));
  if (endsInSeparator && !resolved.endsWith(windows ? "\\" : "/")) resolved += "/";
  const url = new URL("file://");
  url.pathname = escapePath(windows ? resolved.replaceAll("\\", "/") : resolved, windows);
  return url;
}

function toPathIfFileURL(value: unknown): unknown {
  return isUrl(value) ? fileURLToPath(value) : value;
}

function urlToHttpOptions(url: URL): Record<string, unknown> {
  const { hostname, pathname, port, username, password, search } = url;
  const options: Record<string, unknown> = Object.assign(Object.create(null) as object, { ...url }, {
    protocol: url.protocol,
    hostname: hostname.startsWith("[") ? hostname.slice(1, -1) : hostname,
    hash: url.hash,
    search,
    pathname,
    path: `${pathname || ""}${search || ""}`,
    href: url.href,
  });
  if (port !== "") options["port"] = Number(port);
  if (username || password) options["auth"] = `${decodeURIComponent(username)}:${decodeURIComponent(password)}`;
  return options;
}

const members: Record<string, unknown> = {
  URL,
  URLSearchParams,
  Url,
  domainToASCII,
  domainToUnicode,
  fileURLToPath,
  fileURLToPathBuffer,
  format,
  parse: urlParse,
  pathToFileURL,
  resolve: urlResolve,
  resolveObject: urlResolveObject,
  toPathIfFileURL,
  urlToHttpOptions,
};

export const urlModule: Record<string, unknown> = { ...members, default: members };
