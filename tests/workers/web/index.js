// Web APIs that are best seen from a Worker: HTMLRewriter, stacks in V8's shape, some globals.

import { suite } from "../kit/suite.js";
import { globals } from "./globals.js";
import { html } from "./html.js";
import { stacks } from "./stacks.js";
import { words } from "./words.js";

export default suite({ ...html, ...stacks, ...globals, ...words });
