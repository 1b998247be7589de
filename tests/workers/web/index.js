// Web APIs that are best seen from a Worker: HTMLRewriter, and stacks in V8's shape.

import { suite } from "../kit/suite.js";
import { html } from "./html.js";
import { stacks } from "./stacks.js";

export default suite({ ...html, ...stacks });
