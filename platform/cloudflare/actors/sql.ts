// `ctx.storage.sql`: SQLite of a Durable Object.
//
// A query has run to its end in the host when `exec()` returns; its rows come in batches as the cursor
// is read. So a cursor shows the database as it was, whatever is written while it is read.
//
// Invariant: a cursor gives each row once, whichever of its methods asks.

import { ownedBy } from "../caps.ts";
import { describe } from "../errors.ts";
import type { SqlValue } from "../../ops.ts";
import type { Instance } from "./instance.ts";
import { openSpan } from "../trace.ts";

type Row = Record<string, SqlValue>;

const instances = new WeakMap<object, Instance>();
let making: Instance | undefined;

function instanceOf(sql: object): Instance {
  const instance = instances.get(sql);
  if (instance === undefined) throw new TypeError("Illegal invocation");
  return instance;
}

export class SqlStorage {
  constructor() {
    if (making === undefined) throw new TypeError("Illegal constructor");
    instances.set(this, making);
  }

  exec(query: unknown, ...bindings: unknown[]): SqlStorageCursor {
    return run(instanceOf(this), String(query), bindings);
  }

  /** A statement to run many times: the host keeps what it compiled anyway. */
  prepare(query: unknown): (...bindings: unknown[]) => SqlStorageCursor {
    const instance = instanceOf(this);
    const text = String(query);
    return (...bindings) => run(instance, text, bindings);
  }

  /** Runs the whole statements at the beginning of `query`. */
  ingest(query: unknown): { remainder: string; rowsRead: number; rowsWritten: number; statementCount: number } {
    const instance = instanceOf(this);
    const text = String(query);
    const span = openSpan("durable_object_storage_ingest");
    try {
      const reply = instance.ask(["ingest", text]);
      if (reply[0] !== "ingested") throw new Error("the host answered something else");
      const [, remainder, rowsRead, rowsWritten, statementCount] = reply;
      if (span !== undefined) {
        span.count("cloudflare.durable_object.response.rows_read", rowsRead);
        span.count("cloudflare.durable_object.response.rows_written", rowsWritten);
        span.count("cloudflare.durable_object.response.statement_count", statementCount);
      }
      return { remainder, rowsRead, rowsWritten, statementCount };
    } finally {
      span?.end();
    }
  }

  setMaxPageCountForTest(pages: unknown): void {
    instanceOf(this).ask(["limitPages", Number(pages)]);
  }

  get databaseSize(): number {
    const instance = instanceOf(this);
    const span = openSpan("durable_object_storage_getDatabaseSize");
    try {
      const reply = instance.ask(["size"]);
      const bytes = reply[0] === "count" ? reply[1] : 0;
      span?.set("db.operation.name", "getDatabaseSize");
      span?.count("cloudflare.durable_object.response.db_size", bytes);
      return bytes;
    } finally {
      span?.end();
    }
  }
}
for (const name of ["exec", "databaseSize"]) Object.defineProperty(SqlStorage.prototype, name, { enumerable: true });
Object.defineProperty(SqlStorage.prototype, Symbol.toStringTag, { value: "SqlStorage", configurable: true });

function bound(value: unknown, index: number): SqlValue {
  switch (typeof value) {
    case "undefined":
      return null;
    case "number":
    case "string":
      return value;
    case "boolean":
      return value ? 1 : 0;
    case "bigint":
      return String(value);
    case "object":
      if (value === null) return null;
      if (value instanceof ArrayBuffer) return new Uint8Array(value);
      if (ArrayBuffer.isView(value)) return new Uint8Array(value.buffer, value.byteOffset, value.byteLength);
  }
  throw new TypeError(
    `sql.exec(query, ...bindings): binding ${index + 1} must be a string, a number, an ArrayBuffer or null, not ${describe(value)}.`,
  );
}

function run(instance: Instance, query: string, bindings: readonly unknown[]): SqlStorageCursor {
  const span = openSpan("durable_object_storage_exec");
  if (span === undefined) return exec(instance, query, bindings);
  span.set("db.system.name", "cloudflare-durable-object-sql");
  span.set("db.operation.name", "exec");
  span.set("db.query.text", query);
  span.count("cloudflare.durable_object.query.bindings", bindings.length);
  try {
    const cursor = exec(instance, query, bindings);
    // The query is over, though its rows may not have been read.
    const { rowsReadAll, rowsWritten } = rowsBehind(cursor);
    span.count("cloudflare.durable_object.response.rows_read", rowsReadAll);
    span.count("cloudflare.durable_object.response.rows_written", rowsWritten);
    return cursor;
  } finally {
    span.end();
  }
}

function exec(instance: Instance, query: string, bindings: readonly unknown[]): SqlStorageCursor {
  const reply = instance.ask(["exec", query, bindings.map(bound)]);
  if (reply[0] !== "rows") throw new Error("the host answered something else");
  const [, columns, values, count, cursor, rowsRead, rowsWritten, cached] = reply;
  const rows = new Rows(instance, columns, values, count, cursor);
  rows.rowsReadAll = rowsRead;
  rows.rowsWritten = rowsWritten;
  rows.cached = cached;
  const made = newCursor(rows);
  if (cursor !== undefined) ownedBy(made, rows);
  return made;
}

/** What is behind a cursor: one batch of rows and where the next one is. */
class Rows {
  readonly columns: string[];
  rowsReadAll = 0;
  rowsWritten = 0;
  cached = false;
  readonly #instance: Instance;
  #values: SqlValue[];
  #count: number;
  #cursor: number | undefined;
  #next = 0;
  #given = 0;

  constructor(instance: Instance, columns: string[], values: SqlValue[], count: number, cursor: number | undefined) {
    this.#instance = instance;
    this.columns = columns;
    this.#values = values;
    this.#count = count;
    this.#cursor = cursor;
  }

  get isDone(): boolean {
    return this.#next >= this.#count && this.#cursor === undefined;
  }

  /** Grows as the cursor is read, one row ahead of it; at the end it is what the query really read. */
  get rowsRead(): number {
    return this.isDone ? this.rowsReadAll : Math.min(this.#given + 1, this.rowsReadAll);
  }

  take(): SqlValue[] | undefined {
    if (this.#next >= this.#count && !this.#more()) return undefined;
    const width = this.columns.length;
    const start = this.#next++ * width;
    this.#given++;
    const row = this.#values.slice(start, start + width);
    for (let i = 0; i < width; i++) {
      const value = row[i];
      if (value instanceof Uint8Array) row[i] = value.buffer as unknown as SqlValue;
    }
    return row;
  }

  #more(): boolean {
    while (this.#cursor !== undefined && this.#next >= this.#count) {
      const reply = this.#instance.ask(["more", this.#cursor]);
      if (reply[0] !== "rows") throw new Error("the host answered something else");
      [, , this.#values, this.#count, this.#cursor] = reply;
      this.#next = 0;
    }
    return this.#next < this.#count;
  }

  /** Nobody will read the rest. */
  end(): void {
    const cursor = this.#cursor;
    this.#cursor = undefined;
    this.#count = 0;
    if (cursor !== undefined && this.#instance.ended === undefined) this.#instance.ask(["close", cursor]);
  }

  letGo(): void {
    this.end();
  }
}

const rowsOf = new WeakMap<object, Rows>();
let makingCursor: Rows | undefined;

function rowsBehind(cursor: object): Rows {
  const rows = rowsOf.get(cursor);
  if (rows === undefined) throw new TypeError("Illegal invocation");
  return rows;
}

export class SqlStorageCursor {
  constructor() {
    if (makingCursor === undefined) throw new TypeError("Illegal constructor");
    rowsOf.set(this, makingCursor);
  }

  next(): { done: boolean; value?: Row } {
    const rows = rowsBehind(this);
    const values = rows.take();
    return values === undefined ? { done: true } : { done: false, value: record(rows.columns, values) };
  }

  toArray(): Row[] {
    return [...this];
  }

  one(): Row {
    const rows = rowsBehind(this);
    const values = rows.take();
    if (values === undefined) throw new Error("Expected exactly one result from SQL query, but got no results.");
    if (!rows.isDone) {
      rows.end();
      throw new Error("Expected exactly one result from SQL query, but got multiple results.");
    }
    return record(rows.columns, values);
  }

  *raw(): Generator<SqlValue[], void, undefined> {
    const rows = rowsBehind(this);
    for (let values = rows.take(); values !== undefined; values = rows.take()) yield values;
  }

  *[Symbol.iterator](): Generator<Row, void, undefined> {
    const rows = rowsBehind(this);
    for (let values = rows.take(); values !== undefined; values = rows.take()) yield record(rows.columns, values);
  }

  get columnNames(): string[] {
    return rowsBehind(this).columns;
  }

  get rowsRead(): number {
    return rowsBehind(this).rowsRead;
  }

  get rowsWritten(): number {
    return rowsBehind(this).rowsWritten;
  }

  get reusedCachedQueryForTest(): boolean {
    return rowsBehind(this).cached;
  }
}
Object.defineProperty(SqlStorageCursor.prototype, Symbol.toStringTag, { value: "Cursor", configurable: true });

function record(columns: readonly string[], values: readonly SqlValue[]): Row {
  const row: Row = {};
  for (let i = 0; i < columns.length; i++) {
    const name = columns[i] as string;
    // A column may be called __proto__.
    if (name === "__proto__") {
      Object.defineProperty(row, name, { value: values[i], writable: true, enumerable: true, configurable: true });
    } else {
      row[name] = values[i] as SqlValue;
    }
  }
  return row;
}

function newCursor(rows: Rows): SqlStorageCursor {
  makingCursor = rows;
  try {
    return new SqlStorageCursor();
  } finally {
    makingCursor = undefined;
  }
}

export function newSql(instance: Instance): SqlStorage {
  making = instance;
  try {
    return new SqlStorage();
  } finally {
    making = undefined;
  }
}
