// zod: parsing, messages, transforms, recursive and discriminated types, JSON Schema. Its fast path
// asks whether code may be made of strings; the answer decides how objects are parsed.

import * as z from "zod";
import * as mini from "zod/mini";
import { equal, fails, matches, same } from "../../kit/suite.js";

const Category = z.object({
  name: z.string().min(1),
  get children() {
    return z.array(Category).default([]);
  },
});

export const zod = {
  async zod() {
    const User = z.object({
      name: z.string().trim().min(2),
      email: z.email(),
      age: z.coerce.number().int().positive().optional(),
      roles: z.array(z.enum(["admin", "user"])).default(["user"]),
      born: z.iso.date().transform((text) => new Date(`${text}T00:00:00Z`)),
      home: z.url(),
      id: z.uuid(),
      extra: z.record(z.string(), z.union([z.number(), z.bigint(), z.null()])),
    });
    const given = {
      name: " Ann ", email: "ann@example.com", age: "41", born: "1985-01-02", home: "https://example.com/é",
      id: crypto.randomUUID(), extra: { a: 1, b: null },
    };
    const user = User.parse(given);
    same([user.name, user.age, user.roles, user.born.getTime()], ["Ann", 41, ["user"], 473472000000]);

    const bad = User.safeParse({ ...given, email: "nope", roles: ["root"], extra: { a: "x" } });
    equal(bad.success, false);
    same(bad.error.issues.map((issue) => issue.path), [["email"], ["roles", 0], ["extra", "a"]]);
    matches(z.prettifyError(bad.error), /Invalid email address\n {2}→ at email/);
    const thrown = await fails(() => User.parseAsync(null), { name: "ZodError" });
    equal(thrown instanceof z.ZodError && thrown instanceof Error, true);
  },

  async zod_shapes() {
    same(Category.parse({ name: "a", children: [{ name: "b" }] }), { name: "a", children: [{ name: "b", children: [] }] });
    const Shape = z.discriminatedUnion("kind", [
      z.object({ kind: z.literal("circle"), r: z.number() }),
      z.strictObject({ kind: z.literal("square"), side: z.number() }),
    ]);
    same(Shape.parse({ kind: "circle", r: 1, more: 2 }), { kind: "circle", r: 1 });
    equal(Shape.safeParse({ kind: "square", side: 1, more: 2 }).success, false);
    const Later = z.string().refine(async (text) => (await Promise.resolve(text)) === "yes", "must be yes");
    equal(await Later.parseAsync("yes"), "yes");
    matches((await fails(() => Later.parseAsync("no"))).message, /must be yes/);
    const file = z.file().max(10).mime("text/plain");
    equal(file.safeParse(new File(["x"], "x.txt", { type: "text/plain" })).success, true);
    same(z.toJSONSchema(z.object({ n: z.number().min(1), s: z.string().optional() })).required, ["n"]);
    equal(mini.parse(mini.string().check(mini.minLength(1)), "x"), "x");
  },
};
