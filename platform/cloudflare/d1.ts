// `D1Database`: D1 over the host's databases.
//
// Checks what is bound, asks, and gives rows in the form that was asked for. One question is one transaction in
// the host, so a batch happens whole or not at all. There is one copy of a database here and every question sees
// all that was written before it; a session's bookmark says how far that was, and nothing has to be waited for.
//
// Invariant: an error of the database reaches the caller as `D1_ERROR: <why>`, of `exec()` as `D1_EXEC_ERROR: ...`.

import { bytesView, defineInterface, internalToken, requireArguments, requireInternal } from "../web/webidl.ts";
import type { D1Meta } from "./d1-spans.ts";
import { d1Span, tellFailure, tellMeta, tellMetas } from "./d1-spans.ts";
import { registerHosted } from "./hosted.ts";
import type { Hosted } from "./hosted.ts";
import type { OpenSpan } from "./trace.ts";

type Param = null | number | string | number[];

/** A value of a row: BLOBs come as lists of bytes, as D1 gives them. */
type Cell = null | number | string | number[];

type Row = Record<string, Cell>;

interface Query {
  sql: string;
  params: readonly Param[];
}

interface Rows {
  columns: string[];
  rows: Cell[][];
  meta: D1Meta;
}

interface Failed {
  error: string;
  /** Which of the queries, from 0; absent where it was none of them. */
  at?: number;
}

interface D1Result {
  success: true;
  meta: D1Meta;
  results: Row[];
}

const FIRST_PRIMARY = "first-primary";
const FIRST_UNCONSTRAINED = "first-unconstrained";

/** An error with the same text as its cause, but for the prefix. */
function failure(prefix: string, why: string): Error {
  return new Error(`${prefix}: ${why}`, { cause: new Error(why) });
}

/** What SQLite gets for a value of JavaScript's. */
function bound(value: unknown): Param {
  switch (typeof value) {
    case "number":
      return value;
    case "string":
      return value.toWellFormed();
    case "boolean":
      return value ? 1 : 0;
    case "object":
      if (value === null) return null;
      if (value instanceof ArrayBuffer) return [...new Uint8Array(value)];
      if (ArrayBuffer.isView(value)) return [...bytesView(value)];
      if (Array.isArray(value) && value.every(isByte)) return value.map(Math.trunc);
  }
  throw failure("D1_TYPE_ERROR", `Type '${typeof value}' not supported for value '${String(value)}'`);
}

function isByte(value: unknown): value is number {
  return typeof value === "number" && value >= 0 && value < 256;
}

function objectOf(columns: readonly string[], cells: readonly Cell[]): Row {
  // Not by assignment: a column may be called __proto__.
  return Object.fromEntries(cells.map((cell, i) => [columns[i] as string, cell]));
}

function resultOf({ columns, rows, meta }: Rows): D1Result {
  return { success: true, meta, results: rows.map((row) => objectOf(columns, row)) };
}

/** What a question goes through: it knows the latest bookmark where somebody wants to. */
interface Session {
  readonly hosted: Hosted;
  /** Undefined where nobody keeps it. */
  bookmark: string | null | undefined;
}

async function ask(session: Session, path: string, queries: readonly Query[]): Promise<unknown> {
  const response = await session.hosted.ask("POST", path, { body: JSON.stringify(queries) });
  if (response.ok) return (await response.json()) as unknown;
  void response.body?.cancel();
  return { error: `${response.status} ${response.statusText}` } satisfies Failed;
}

/** Runs queries as one transaction. */
async function run(session: Session, queries: readonly Query[], span: OpenSpan | undefined): Promise<Rows[]> {
  const answer = (await ask(session, "/query", queries)) as { results: Rows[]; bookmark: string } | Failed;
  if ("error" in answer) {
    tellFailure(span, answer.error);
    throw failure("D1_ERROR", answer.error);
  }
  const { bookmark } = session;
  if (bookmark !== undefined && (bookmark === null || bookmark < answer.bookmark)) session.bookmark = answer.bookmark;
  return answer.results;
}

async function batch(session: Session, statements: readonly D1PreparedStatement[]): Promise<D1Result[]> {
  const queries = [...statements].map(queryOf);
  const span = d1Span("d1_batch", "batch", queries.map(({ sql }) => sql).join("\n"), session.bookmark);
  try {
    span?.set("db.operation.batch.size", queries.length);
    const results = await run(session, queries, span);
    if (span !== undefined) tellMetas(span, results.map(({ meta }) => meta), session.bookmark);
    return results.map(resultOf);
  } finally {
    span?.end();
  }
}

/** What is public of a statement, so that one behind a proxy is as good. */
function queryOf(statement: D1PreparedStatement): Query {
  const { statement: sql, params } = statement;
  if (typeof sql !== "string") throw new TypeError("batch() expects a list of prepared statements.");
  return { sql, params };
}

class D1PreparedStatement {
  readonly #session: Session;
  readonly statement: string;
  readonly params: readonly Param[];

  constructor(token: unknown, session: Session, statement: string, params: readonly Param[]) {
    requireInternal(token);
    this.#session = session;
    this.statement = statement;
    this.params = params;
  }

  bind(...values: unknown[]): D1PreparedStatement {
    return new D1PreparedStatement(internalToken, this.#session, this.statement, values.map(bound));
  }

  async first(column?: unknown): Promise<unknown> {
    return this.#run("d1_first", "first", ({ columns, rows }, span) => {
      const cells = rows[0];
      if (cells === undefined) return null;
      const row = objectOf(columns, cells);
      if (column === undefined) return row;
      const name = String(column);
      if (Object.hasOwn(row, name)) return row[name];
      tellFailure(span, "Column not found");
      throw new Error(`D1_COLUMN_NOTFOUND: Column not found (${name})`, { cause: new Error("Column not found") });
    });
  }

  async run(): Promise<D1Result> {
    return this.#run("d1_run", "run", resultOf);
  }

  async all(): Promise<D1Result> {
    return this.#run("d1_all", "all", resultOf);
  }

  async raw(options?: { columnNames?: unknown }): Promise<unknown[][]> {
    // So it is called in workerd.
    return this.#run("d1_all", "raw", ({ columns, rows }) => (options?.columnNames ? [columns, ...rows] : rows));
  }

  async #run<T>(name: string, operation: string, give: (rows: Rows, span: OpenSpan | undefined) => T): Promise<T> {
    const session = this.#session;
    const span = d1Span(name, operation, this.statement, session.bookmark);
    try {
      const [rows] = await run(session, [{ sql: this.statement, params: this.params }], span);
      if (rows === undefined) throw failure("D1_ERROR", "the host answered something else");
      if (span !== undefined) tellMeta(span, rows.meta, session.bookmark);
      return give(rows, span);
    } finally {
      span?.end();
    }
  }
}
defineInterface(D1PreparedStatement);

function prepared(session: Session, query: unknown): D1PreparedStatement {
  return new D1PreparedStatement(internalToken, session, String(query).toWellFormed(), []);
}

class D1DatabaseSession {
  readonly #session: Session;

  constructor(token: unknown, hosted: Hosted, bookmark: string | null) {
    requireInternal(token);
    this.#session = { hosted, bookmark };
  }

  prepare(query: unknown): D1PreparedStatement {
    requireArguments(arguments.length, 1, "D1DatabaseSession.prepare");
    return prepared(this.#session, query);
  }

  async batch(statements: readonly D1PreparedStatement[]): Promise<D1Result[]> {
    requireArguments(arguments.length, 1, "D1DatabaseSession.batch");
    return batch(this.#session, statements);
  }

  /** The latest of this session's, or the one that it began with. */
  getBookmark(): string | null {
    return this.#session.bookmark ?? null;
  }
}
defineInterface(D1DatabaseSession);

class D1Database {
  readonly #session: Session;

  constructor(token: unknown, hosted: Hosted) {
    requireInternal(token);
    this.#session = { hosted, bookmark: undefined };
  }

  prepare(query: unknown): D1PreparedStatement {
    requireArguments(arguments.length, 1, "D1Database.prepare");
    return prepared(this.#session, query);
  }

  async batch(statements: readonly D1PreparedStatement[]): Promise<D1Result[]> {
    requireArguments(arguments.length, 1, "D1Database.batch");
    return batch(this.#session, statements);
  }

  /** Runs each line as SQL of its own, all of them or none. */
  async exec(query: unknown): Promise<{ count: number; duration: number }> {
    requireArguments(arguments.length, 1, "D1Database.exec");
    const text = String(query).toWellFormed();
    const span = d1Span("d1_exec", "exec", text, undefined);
    try {
      const lines = text.trim().split("\n");
      const queries = lines.map((sql) => ({ sql, params: [] }));
      const answer = (await ask(this.#session, "/exec", queries)) as { count: number; meta: D1Meta } | Failed;
      if ("error" in answer) {
        const line = (answer.at ?? 0) + 1;
        tellFailure(span, `Error in line ${line}`);
        throw failure("D1_EXEC_ERROR", `Error in line ${line}: ${lines[line - 1]}: ${answer.error}`);
      }
      if (span !== undefined) tellMeta(span, answer.meta, undefined);
      return { count: answer.count, duration: answer.meta.duration };
    } finally {
      span?.end();
    }
  }

  /** A session that begins at a bookmark, or at what a constraint says. */
  withSession(constraintOrBookmark?: unknown): D1DatabaseSession {
    const given = constraintOrBookmark === undefined || constraintOrBookmark === null ? "" : String(constraintOrBookmark).trim();
    const isConstraint = given === "" || given === FIRST_PRIMARY || given === FIRST_UNCONSTRAINED;
    return new D1DatabaseSession(internalToken, this.#session.hosted, isConstraint ? null : given);
  }

  /** Of Cloudflare's first databases only. */
  async dump(): Promise<ArrayBuffer> {
    throw failure("D1_DUMP_ERROR", "dump() is deprecated and gives nothing; `mayfly state export` copies a database.");
  }
}
defineInterface(D1Database);

registerHosted("d1", (hosted) => new D1Database(internalToken, hosted));
