// drizzle-orm: SQL from typed tables, with a proxy driver in a database's place, and on D1.

import { and, count, desc, eq, inArray, like, relations, sql } from "drizzle-orm";
import { PgDialect, jsonb, pgTable, serial, text as pgText, timestamp } from "drizzle-orm/pg-core";
import { drizzle as onD1 } from "drizzle-orm/d1";
import { drizzle as pgProxy } from "drizzle-orm/pg-proxy";
import { QueryBuilder, index, integer, sqliteTable, text } from "drizzle-orm/sqlite-core";
import { drizzle as sqliteProxy } from "drizzle-orm/sqlite-proxy";
import { equal, fails, same } from "../../kit/suite.js";

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

  async drizzle_orm_on_d1({ DB }) {
    await DB.exec("CREATE TABLE users (id INTEGER PRIMARY KEY AUTOINCREMENT, name TEXT NOT NULL, admin INTEGER NOT NULL DEFAULT 0, born INTEGER)");
    await DB.exec("CREATE TABLE posts (id INTEGER PRIMARY KEY, title TEXT, author_id INTEGER REFERENCES users (id))");
    const db = onD1(DB, { schema: { users, posts, usersRelations, postsRelations } });
    const [ann] = await db.insert(users).values({ name: "Ann", admin: true, born: new Date(5000) }).returning();
    same(ann, { id: 1, name: "Ann", admin: true, born: new Date(5000) });
    const wrote = await db.insert(users).values([{ name: "Bo" }, { name: "Cy" }]);
    same([wrote.success, wrote.meta.changes, wrote.meta.last_row_id], [true, 2, 3]);
    const [made, , listed] = await db.batch([
      db.insert(posts).values({ title: "t", authorId: 1 }).returning({ id: posts.id }),
      db.update(users).set({ name: "Bob" }).where(eq(users.id, 2)),
      db.select({ name: users.name }).from(users).orderBy(desc(users.id)),
    ]);
    same([made, listed], [[{ id: 1 }], [{ name: "Cy" }, { name: "Bob" }, { name: "Ann" }]]);
    const joined = await db.select({ name: users.name, posts: count(posts.id) }).from(users)
      .leftJoin(posts, eq(posts.authorId, users.id)).where(and(like(users.name, "A%"), inArray(users.id, [1, 2]))).groupBy(users.id);
    same(joined, [{ name: "Ann", posts: 1 }]);
    const found = await db.query.users.findFirst({ columns: { name: true }, with: { posts: { columns: { title: true } } } });
    same(found, { name: "Ann", posts: [{ title: "t" }] });
    equal(await db.$count(users), 3);
    same(await db.get(sql`SELECT count(*) AS n FROM ${posts}`), { n: 1 });
    await fails(() => db.insert(posts).values({ id: 1, title: "again" }), { message: /Failed query/ });
    await db.delete(posts);
    same(await db.select().from(posts), []);
  },
};
