// What is told of D1: a span for each operation, with names and attributes as in workerd.

import { type OpenSpan, openSpan } from "./trace.ts";

/** What the host says of a query, with the documentation's names. */
export interface D1Meta {
  served_by: string;
  served_by_primary: boolean;
  timings: { sql_duration_ms: number };
  duration: number;
  changes: number;
  last_row_id: number;
  changed_db: boolean;
  size_after: number;
  rows_read: number;
  rows_written: number;
  total_attempts: number;
}

/** A span of one operation; undefined where nobody follows. */
export function d1Span(name: string, operation: string, sql: string, bookmark: string | null | undefined): OpenSpan | undefined {
  const span = openSpan(name);
  if (span === undefined) return undefined;
  span.set("db.system.name", "cloudflare-d1");
  span.set("db.operation.name", operation);
  span.set("db.query.text", sql);
  span.set("cloudflare.binding.type", "D1");
  span.set("cloudflare.d1.query.bookmark", bookmark);
  return span;
}

export function tellMeta(span: OpenSpan, meta: D1Meta, bookmark: string | null | undefined): void {
  span.set("cloudflare.d1.response.bookmark", bookmark);
  span.set("cloudflare.d1.response.size_after", meta.size_after);
  span.set("cloudflare.d1.response.rows_read", meta.rows_read);
  span.set("cloudflare.d1.response.rows_written", meta.rows_written);
  span.set("cloudflare.d1.response.last_row_id", meta.last_row_id);
  span.set("cloudflare.d1.response.changed_db", meta.changed_db);
  span.set("cloudflare.d1.response.changes", meta.changes);
  span.set("cloudflare.d1.response.served_by_primary", meta.served_by_primary);
  span.set("cloudflare.d1.response.sql_duration_ms", meta.timings.sql_duration_ms);
  span.set("cloudflare.d1.response.total_attempts", meta.total_attempts);
}

/** Of a batch: sums, and what is true after the last. */
export function tellMetas(span: OpenSpan, metas: readonly D1Meta[], bookmark: string | null | undefined): void {
  const last = metas.at(-1);
  if (last === undefined) return;
  const sum = (of: (meta: D1Meta) => number): number => metas.reduce((total, meta) => total + of(meta), 0);
  const all: D1Meta = {
    ...last,
    timings: { sql_duration_ms: sum((meta) => meta.timings.sql_duration_ms) },
    changes: sum((meta) => meta.changes),
    changed_db: metas.some((meta) => meta.changed_db),
    rows_read: sum((meta) => meta.rows_read),
    rows_written: sum((meta) => meta.rows_written),
    total_attempts: sum((meta) => meta.total_attempts),
  };
  tellMeta(span, all, bookmark);
}

export function tellFailure(span: OpenSpan | undefined, why: string): void {
  span?.set("error.type", why);
}
