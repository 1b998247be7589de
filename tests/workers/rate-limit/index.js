// Rate limits and Hyperdrive's connection string, a case each.

import { equal, fails, same, suite } from "../kit/suite.js";

export default suite({
  async a_key_passes_as_often_as_its_limit_says({ ONE, TWO }) {
    const answers = [];
    for (const key of ["a", "a", "b", "a"]) answers.push((await TWO.limit({ key })).success);
    same(answers, [true, true, true, false]);
    equal((await ONE.limit({ key: "a" })).success, true);
    equal((await ONE.limit({ key: "a" })).success, false);
  },
  async bindings_of_one_namespace_count_together({ SAME, TWO }) {
    await TWO.limit({ key: "shared" });
    await SAME.limit({ key: "shared" });
    equal((await TWO.limit({ key: "shared" })).success, false);
  },
  async what_is_no_key_is_refused({ ONE }) {
    await fails(() => ONE.limit({}), { name: "TypeError", message: /"key"/ });
    await fails(() => ONE.limit({ key: "x".repeat(2000) }), { message: /414 a key has at most 1024 bytes/ });
  },
  async a_connection_string_comes_in_parts({ DB }) {
    same(
      [DB.connectionString, DB.host, DB.port, DB.user, DB.password, DB.database],
      ["postgres://ann:pw@127.0.0.1:5433/shop", "127.0.0.1", 5433, "ann", "pw", "shop"],
    );
  },
});
