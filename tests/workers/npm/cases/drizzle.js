// drizzle-orm: SQL from typed tables, without a database; a proxy driver answers in its place.

import { and, count, desc, eq, inArray, like, relations, sql } from "drizzle-orm";
import { PgDialect, jsonb, pgTable, serial, text as pgText, timestamp } from "drizzle-orm/pg-core";
import { drizzle as pgProxy } from "drizzle-orm/pg-proxy";
import { QueryBuilder, index, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { drizzle as sqliteProxy } from "drizzle-orm/sqlite-proxy";
import { equal, same } from "../../kit/suite.js";

const users = sqliteTable(
  "users",
  {
    id: integer().primaryKey({ autoIncrement: true }),
    name: text().notNull(),
    admin: integer({ mode: "boolean" }).notNull().default(false),
    born: integer({ mode: "timestamp" }),
  },
  (table) => [index("by_name").on(table.name)],
);
const posts = sqliteTable("posts", { id: integer().primaryKey(), title: text(), authorId: integer("author_id").references(() => users.id) });
const usersRelations = relations(users, ({ many }) => ({ posts: many(posts) }));
const postsRelations = relations(posts, ({ one }) => ({ author: one(users, { fields: [posts.authorId], references: [users.id] }) }));

export const drizzle = {
  async drizzle_orm() {
    const query = new QueryBuilder()
      .select({ name: users.name, posts: count(posts.id) })
      .from(users)
      .leftJoin(posts, eq(posts.authorId, users.id))
      .where(and(like(users.name, "a%"), inArray(users.id, [1, 2]), eq(users.admin, true)))
      .groupBy(users.id)
      .orderBy(desc(users.name))
      .limit(10);
    same(query.toSQL(), {
      sql:
        'select "users"."name", count("posts"."id") from "users" left join "posts" on "posts"."author_id" = "users"."id" ' +
        'where ("users"."name" like ? and "users"."id" in (?, ?) and "users"."admin" = ?) group by "users"."id" ' +
        'order by "users"."name" desc limit ?',
      params: ["a%", 1, 2, 1, 10],
    });
  },

  async drizzle_orm_through_a_proxy() {
    const asked = [];
    const db = sqliteProxy(
      async (sql, params, method) => {
        asked.push([sql, params, method]);
        if (method === "all" && sql.startsWith("insert")) return { rows: [[1, "Ann", 1, 5]] };
        if (sql.includes("json")) return { rows: [[1, "Ann", '[["t"]]']] };
        return { rows: [[1, "Ann", 0, null]] };
      },
      { schema: { users, posts, usersRelations, postsRelations } },
    );
    const [made] = await db.insert(users).values({ name: "Ann", admin: true, born: new Date(5000) }).returning();
    same(made, { id: 1, name: "Ann", admin: true, born: new Date(5000) });
    same(asked[0], [
      'insert into "users" ("id", "name", "admin", "born") values (null, ?, ?, ?) returning "id", "name", "admin", "born"',
      ["Ann", 1, 5],
      "all",
    ]);
    same(await db.select().from(users), [{ id: 1, name: "Ann", admin: false, born: null }]);
    const found = await db.query.users.findMany({ columns: { id: true, name: true }, with: { posts: { columns: { title: true } } } });
    same(found, [{ id: 1, name: "Ann", posts: [{ title: "t" }] }]);
  },

  async drizzle_orm_postgres() {
    const events = pgTable("events", { id: serial().primaryKey(), data: jsonb(), at: timestamp({ withTimezone: true }), kind: pgText() });
    const asked = [];
    const db = pgProxy(async (sql, params) => {
      asked.push(params);
      return { rows: [] };
    });
    await db.update(events).set({ data: { a: [1] } }).where(eq(events.at, new Date(0)));
    same(asked, [['{"a":[1]}', "1970-01-01T00:00:00.000Z"]]);
    const query = new PgDialect().sqlToQuery(sql`select ${events.id} from ${events} where ${events.kind} = ${"x"} ${sql.raw("limit 1")}`);
    equal(query.sql, 'select "events"."id" from "events" where "events"."kind" = $1 limit 1');
  },
};
