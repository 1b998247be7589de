// node:v8, as Workers have it: statistics that are zero, and functions that check their arguments
// and say that they are not there.
//
// Invariant: nothing here tells anything of the engine, which is not V8.

import { checkBoolean, checkCallable, checkObject, checkOneOf, checkText, checkUint32, invalidValue, refusing, unimplemented } from "./checks.ts";

const zeros = (...names: string[]): Record<string, number> => Object.fromEntries(names.map((name) => [name, 0]));

/** A class whose constructor refuses, with methods that would. */
function refusingClass(name: string, methods: readonly string[]): unknown {
  const holder = {
    [name]: class {
      constructor() {
        throw unimplemented(name);
      }
    },
  };
  const Class = holder[name] as unknown as { prototype: Record<string, unknown> };
  for (const method of methods) Object.defineProperty(Class.prototype, method, { value: refusing(method), writable: true, configurable: true });
  return Class;
}

class GCProfiler {
  start(): never {
    throw unimplemented("GCProfiler.start");
  }
  stop(): never {
    throw unimplemented("GCProfiler.stop");
  }
}

function checkSnapshotOptions(options: unknown = {}): void {
  const { exposeInternals = false, exposeNumericValues = false } = checkObject(options, "options");
  checkBoolean(exposeInternals, "options.exposeInternals");
  checkBoolean(exposeNumericValues, "options.exposeNumericValues");
}

const hook = (name: string): (() => never) => refusing(name) as () => never;

const members: Record<string, unknown> = {
  DefaultDeserializer: refusingClass("DefaultDeserializer", []),
  DefaultSerializer: refusingClass("DefaultSerializer", []),
  Deserializer: refusingClass("Deserializer", [
    "readHeader", "readValue", "transferArrayBuffer", "getWireFormatVersion", "readUint32", "readUint64", "readDouble", "readRawBytes",
    "_readHostObject",
  ]),
  GCProfiler,
  Serializer: refusingClass("Serializer", [
    "writeHeader", "writeValue", "releaseBuffer", "transferArrayBuffer", "writeUint32", "writeUint64", "writeDouble", "writeRawBytes",
    "_getDataCloneError", "_getSharedArrayBufferId", "_setTreatArrayBufferViewsAsHostObjects", "_writeHostObject",
  ]),
  cachedDataVersionTag: () => 0,
  deserialize: refusing("deserialize"),
  getCppHeapStatistics(type: unknown = "detailed"): object {
    checkOneOf(type, "type", ["brief", "detailed"]);
    return { ...zeros("committed_size_bytes", "resident_size_bytes", "used_size_bytes"), space_statistics: [], type_names: [], detail_level: type };
  },
  getHeapCodeStatistics: () => zeros("code_and_metadata_size", "bytecode_and_metadata_size", "external_script_source_size", "cpu_profiler_metadata_size"),
  getHeapSnapshot(options?: unknown): never {
    checkSnapshotOptions(options);
    throw unimplemented("getHeapSnapshot");
  },
  getHeapSpaceStatistics: () => [],
  getHeapStatistics: () => zeros(
    "total_heap_size", "total_heap_size_executable", "total_physical_size", "total_available_size", "used_heap_size", "heap_size_limit",
    "malloced_memory", "peak_malloced_memory", "does_zap_garbage", "number_of_native_contexts", "number_of_detached_contexts",
    "total_global_handles_size", "used_global_handles_size", "external_memory", "total_allocated_bytes",
  ),
  isStringOneByteRepresentation(content: unknown): never {
    checkText(content, "content");
    throw unimplemented("isStringOneByteRepresentation");
  },
  promiseHooks: {
    createHook: hook("promiseHooks.createHook"),
    onAfter: hook("promiseHooks.onAfter"),
    onBefore: hook("promiseHooks.onBefore"),
    onInit: hook("promiseHooks.onInit"),
    onSettled: hook("promiseHooks.onSettled"),
  },
  queryObjects(Class: unknown, options: unknown = {}): never {
    checkCallable(Class, "constructor");
    const { format } = checkObject(options, "options");
    if (format && format !== "count" && format !== "summary") throw invalidValue("options.format", format);
    throw unimplemented("queryObjects");
  },
  serialize: refusing("serialize"),
  setFlagsFromString(flags: unknown): never {
    checkText(flags, "flags");
    throw unimplemented("setFlagsFromString");
  },
  setHeapSnapshotNearHeapLimit(limit: unknown): never {
    checkUint32(limit, "limit", true);
    throw unimplemented("setHeapSnapshotNearHeapLimit");
  },
  startupSnapshot: {
    addDeserializeCallback: hook("startupSnapshot.addDeserializeCallback"),
    addSerializeCallback: hook("startupSnapshot.addSerializeCallback"),
    isBuildingSnapshot: () => false,
    setDeserializeMainFunction: hook("startupSnapshot.setDeserializeMainFunction"),
  },
  stopCoverage: refusing("stopCoverage"),
  takeCoverage: refusing("takeCoverage"),
  writeHeapSnapshot(filename?: unknown, options?: unknown): never {
    if (filename !== undefined) checkText(filename, "filename");
    checkSnapshotOptions(options);
    throw unimplemented("writeHeapSnapshot");
  },
};

export const v8Module: Record<string, unknown> = { ...members, default: members };
