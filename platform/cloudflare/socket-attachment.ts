// What a Worker keeps with a WebSocket (`serializeAttachment`): a value of plain data, as bytes.
//
// Invariant: what is taken out is a copy, never what was put in.

import { dataCloneError } from "./errors.ts";
import { TooLargeError } from "./rpc/bytes.ts";
import { packNow, unpack } from "./rpc/message.ts";

/** Bytes of one attachment: Cloudflare's documented limit. */
const ATTACHMENT_BYTES_MAX = 16_384;

export function packAttachment(value: unknown): Uint8Array {
  let packed: ReturnType<typeof packNow>;
  try {
    packed = packNow(value, "props");
  } catch (error) {
    if (!(error instanceof TooLargeError)) throw error;
    throw tooLarge(error.bytes);
  }
  if (packed.externals.length > 0) throw dataCloneError("A WebSocket's attachment can only be plain data.");
  const { bytes } = packed;
  if (bytes.length > ATTACHMENT_BYTES_MAX) throw tooLarge(bytes.length);
  return bytes;
}

function tooLarge(bytes: number): Error {
  return new Error(
    `A WebSocket 'attachment' cannot be larger than ${ATTACHMENT_BYTES_MAX} bytes.'attachment' was ${bytes} bytes.`,
  );
}

export function unpackAttachment(bytes: Uint8Array): unknown {
  return unpack({ bytes, attachments: [] }).value;
}
