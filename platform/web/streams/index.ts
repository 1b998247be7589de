// The public classes of the streams standard and of Workers' additions to it, in one place.

export { ByteLengthQueuingStrategy, CountQueuingStrategy } from "./strategies.ts";
export {
  ReadableStream,
  ReadableStreamDefaultController,
  ReadableStreamDefaultReader,
  isReadableStream,
} from "./readable.ts";
export { ReadableByteStreamController, ReadableStreamBYOBReader, ReadableStreamBYOBRequest } from "./byob.ts";
export {
  WritableStream,
  WritableStreamDefaultController,
  WritableStreamDefaultWriter,
  isWritableStream,
} from "./writable.ts";
export { TransformStream, TransformStreamDefaultController } from "./transform.ts";
export { FixedLengthStream, IdentityTransformStream } from "./identity.ts";
