// Packages from npm, as they are published, each put to the use it is known for. A package has a
// file in `cases/`; what it needs of the platform is found by running it, not by reading it.

import { suite } from "../kit/suite.js";
import { agents } from "./cases/agents.ts";
import { ai } from "./cases/ai.js";
import { codemodes } from "./cases/codemode.js";
import { dateFns } from "./cases/date-fns.js";
import { drizzle } from "./cases/drizzle.js";
import { fflate } from "./cases/fflate.js";
import { graphql } from "./cases/graphql.js";
import { hono } from "./cases/hono.js";
import { ids } from "./cases/ids.js";
import { ittyRouter } from "./cases/itty-router.js";
import { jose } from "./cases/jose.js";
import { lodash } from "./cases/lodash-es.js";
import { marked } from "./cases/marked.js";
import { openai } from "./cases/openai.js";
import { preact } from "./cases/preact.js";
import { zod } from "./cases/zod.js";

export { Chat } from "./cases/agents.ts";

export default suite({
  ...hono,
  ...ittyRouter,
  ...zod,
  ...jose,
  ...fflate,
  ...ids,
  ...dateFns,
  ...lodash,
  ...marked,
  ...graphql,
  ...preact,
  ...drizzle,
  ...openai,
  ...ai,
  ...codemodes,
  ...agents,
});
