// DOMException: the error of web APIs that are not about wrong types.
//
// A DOMException is a real Error (it extends one), so it has a stack and `Error.isError` holds.
// `name`, `message` and `code` are accessors of the prototype, as Web IDL asks, over private fields;
// nothing is stored on the instance but what the engine keeps for the stack.
//
// Deliberately absent: QuotaExceededError as a class of its own; it stays a name here, as in Workers.
//
// Invariant: `code` follows from `name` alone.

import { DOMString, defineInterface } from "./webidl.ts";

const CODES: readonly (readonly [name: string, constant: string, code: number])[] = [
  ["IndexSizeError", "INDEX_SIZE_ERR", 1],
  ["", "DOMSTRING_SIZE_ERR", 2],
  ["HierarchyRequestError", "HIERARCHY_REQUEST_ERR", 3],
  ["WrongDocumentError", "WRONG_DOCUMENT_ERR", 4],
  ["InvalidCharacterError", "INVALID_CHARACTER_ERR", 5],
  ["", "NO_DATA_ALLOWED_ERR", 6],
  ["NoModificationAllowedError", "NO_MODIFICATION_ALLOWED_ERR", 7],
  ["NotFoundError", "NOT_FOUND_ERR", 8],
  ["NotSupportedError", "NOT_SUPPORTED_ERR", 9],
  ["InUseAttributeError", "INUSE_ATTRIBUTE_ERR", 10],
  ["InvalidStateError", "INVALID_STATE_ERR", 11],
  ["SyntaxError", "SYNTAX_ERR", 12],
  ["InvalidModificationError", "INVALID_MODIFICATION_ERR", 13],
  ["NamespaceError", "NAMESPACE_ERR", 14],
  ["InvalidAccessError", "INVALID_ACCESS_ERR", 15],
  ["", "VALIDATION_ERR", 16],
  ["TypeMismatchError", "TYPE_MISMATCH_ERR", 17],
  ["SecurityError", "SECURITY_ERR", 18],
  ["NetworkError", "NETWORK_ERR", 19],
  ["AbortError", "ABORT_ERR", 20],
  ["URLMismatchError", "URL_MISMATCH_ERR", 21],
  ["QuotaExceededError", "QUOTA_EXCEEDED_ERR", 22],
  ["TimeoutError", "TIMEOUT_ERR", 23],
  ["InvalidNodeTypeError", "INVALID_NODE_TYPE_ERR", 24],
  ["DataCloneError", "DATA_CLONE_ERR", 25],
];

const codeOfName = new Map<string, number>();
for (const [name, , code] of CODES) if (name !== "") codeOfName.set(name, code);

export class DOMException extends Error {
  #name: string;
  #message: string;

  constructor(message: unknown = "", options: unknown = "Error") {
    super();
    this.#message = DOMString(message, "DOMException constructor: message");
    if (typeof options === "object" && options !== null) {
      // Node.js and Workers take `{ name, cause }` here; the standard converts it to a string.
      const { name, cause } = options as { name?: unknown; cause?: unknown };
      this.#name = name === undefined ? "Error" : DOMString(name, "DOMException constructor: name");
      if ("cause" in options) {
        Object.defineProperty(this, "cause", { value: cause, writable: true, enumerable: false, configurable: true });
      }
    } else {
      this.#name = DOMString(options, "DOMException constructor: name");
    }
  }

  override get name(): string {
    return this.#name;
  }

  override get message(): string {
    return this.#message;
  }

  get code(): number {
    return codeOfName.get(this.#name) ?? 0;
  }

  static is(value: unknown): value is DOMException {
    return typeof value === "object" && value !== null && #name in value;
  }
}

/** Whether `value` was made by the DOMException constructor, whatever its prototype is now. */
export const isDOMException: (value: unknown) => value is DOMException = DOMException.is;
delete (DOMException as { is?: unknown }).is;

defineInterface(DOMException, {
  constants: Object.fromEntries(CODES.map(([, constant, code]) => [constant, code])),
});
