// graphql: schemas, execution, errors with places, introspection. It compares classes with
// `instanceof`, so two copies of it in one Worker would be noticed.

import {
  GraphQLError, GraphQLList, GraphQLNonNull, GraphQLObjectType, GraphQLSchema, GraphQLString, buildSchema, getIntrospectionQuery,
  graphql as run, parse, print, printSchema, subscribe, validate,
} from "graphql";
import { equal, matches, same } from "../../kit/suite.js";

export const graphql = {
  async graphql() {
    const schema = buildSchema(`
      type Query { user(id: ID!): User, fails: String, users: [User!]! }
      type User { id: ID!, name: String!, friends(first: Int = 1): [User!]! }
    `);
    const user = (id) => ({ id, name: `user ${id}`, friends: async ({ first }) => Array.from({ length: first }, (_, i) => user(`${id}${i}`)) });
    const rootValue = {
      user: ({ id }) => user(id),
      users: async () => [user("a"), user("b")],
      fails: () => { throw new Error("on purpose"); },
    };
    const source = "query Q($id: ID!) { user(id: $id) { ...F friends(first: 2) { ...F } } fails users { id } } fragment F on User { name }";
    const { data, errors } = await run({ schema, source, rootValue, variableValues: { id: "7" } });
    same(data, {
      user: { name: "user 7", friends: [{ name: "user 70" }, { name: "user 71" }] },
      fails: null,
      users: [{ id: "a" }, { id: "b" }],
    });
    equal(errors.length, 1);
    equal(errors[0] instanceof GraphQLError, true);
    same([errors[0].message, errors[0].path, errors[0].locations], ["on purpose", ["fails"], [{ line: 1, column: 71 }]]);
    matches(validate(schema, parse("{ usr }"))[0].message, /Cannot query field "usr".*"user"/);
    const introspected = await run({ schema, source: getIntrospectionQuery() });
    equal(introspected.data.__schema.types.some((type) => type.name === "User"), true);
  },

  async graphql_subscriptions() {
    const ticks = {
      type: new GraphQLNonNull(new GraphQLList(GraphQLString)),
      subscribe: async function* () { yield { ticks: ["a"] }; yield { ticks: ["a", "b"] }; },
    };
    const query = new GraphQLObjectType({ name: "Query", fields: { none: { type: GraphQLString } } });
    const schema = new GraphQLSchema({ query, subscription: new GraphQLObjectType({ name: "Subscription", fields: { ticks } }) });
    matches(printSchema(schema), /type Subscription \{\n {2}ticks: \[String\]!\n\}/);
    const document = parse("subscription { ticks }");
    equal(print(document), "subscription {\n  ticks\n}");
    const seen = [];
    for await (const { data } of await subscribe({ schema, document })) seen.push(data.ticks.length);
    same(seen, [1, 2]);
  },
};
