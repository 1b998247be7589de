// nanoid and uuid: identifiers from the platform's randomness, and the clock and hashes of uuid.

import { customAlphabet, customRandom, nanoid, random } from "nanoid";
import { nanoid as insecure } from "nanoid/non-secure";
import * as uuid from "uuid";
import { equal, fails, matches, same } from "../../kit/suite.js";

export const ids = {
  async nanoid() {
    const seen = new Set(Array.from({ length: 1000 }, () => nanoid()));
    equal(seen.size, 1000);
    for (const id of seen) matches(id, /^[\w-]{21}$/);
    equal(nanoid(5).length, 5);
    matches(customAlphabet("abc", 12)(), /^[abc]{12}$/);
    matches(customRandom("xy", 8, random)(), /^[xy]{8}$/);
    equal(insecure(10).length, 10);
  },

  async uuid() {
    const four = uuid.v4();
    same([uuid.validate(four), uuid.version(four)], [true, 4]);
    const ordered = Array.from({ length: 50 }, () => uuid.v7());
    same(ordered, ordered.toSorted());
    matches(uuid.v1(), /^[0-9a-f]{8}-[0-9a-f]{4}-1/);
    equal(uuid.v5("hello.example.com", uuid.v5.DNS), "fdda765f-fc57-5604-a269-52a7df8164ec");
    equal(uuid.v3("hello.example.com", uuid.v3.DNS), "9125a8dc-52ee-365b-a5aa-81b0b3681cf6");
    equal(uuid.stringify(uuid.parse(four)), four);
    equal(uuid.v6ToV1(uuid.v1ToV6("f1207660-21d2-11ef-8c4f-419efbd44d48")), "f1207660-21d2-11ef-8c4f-419efbd44d48");
    await fails(() => uuid.parse("not one"), { name: "TypeError" });
  },
};
