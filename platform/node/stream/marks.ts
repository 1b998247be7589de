// How much a stream takes in before it says that it is enough.

import { invalidArgValue, requireInteger } from "../errors.ts";
import type { StreamOptions } from "./types.ts";

/** As in Node.js 22. */
let bytesDefault = 64 * 1024;
let objectsDefault = 16;

export function getDefaultHighWaterMark(objectMode?: boolean): number {
  return objectMode ? objectsDefault : bytesDefault;
}

export function setDefaultHighWaterMark(objectMode: boolean, value: unknown): void {
  const mark = requireInteger(value, "value", 0);
  if (objectMode) objectsDefault = mark;
  else bytesDefault = mark;
}

export function highWaterMarkOf(objectMode: boolean, options: StreamOptions | undefined, duplexName: string, isDuplex: boolean): number {
  const given = options?.highWaterMark ?? (isDuplex ? options?.[duplexName] : null);
  if (given === null || given === undefined) return getDefaultHighWaterMark(objectMode);
  if (!Number.isInteger(given) || (given as number) < 0) {
    throw invalidArgValue(isDuplex && options?.highWaterMark == null ? `options.${duplexName}` : "options.highWaterMark", given);
  }
  return Math.floor(given as number);
}
