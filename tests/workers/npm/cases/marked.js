// marked: Markdown, with its heavy regular expressions, extensions and asynchronous walks.

import { Marked, lexer, parse, parseInline } from "marked";
import { equal, matches, same } from "../../kit/suite.js";

const SOURCE = `# Title *with* emphasis

| a | b |
|---|:-:|
| 1 | \`x\\|y\` |

- [x] done
- [ ] [open](https://example.com "t")
  1. nested

> quoted
> **twice**

\`\`\`js
let a = "<b>";
\`\`\`

~~gone~~ and https://example.com/auto
`;

export const marked = {
  async marked() {
    const html = parse(SOURCE);
    matches(html, /<h1>Title <em>with<\/em> emphasis<\/h1>/);
    matches(html, /<td align="center"><code>x\|y<\/code>/);
    matches(html, /<input checked="" disabled="" type="checkbox">/);
    matches(html, /<code class="language-js">let a = &quot;&lt;b&gt;&quot;;/);
    matches(html, /<del>gone<\/del> and <a href="https:\/\/example.com\/auto">/);
    equal(parseInline("**a** _b_"), "<strong>a</strong> <em>b</em>");
    same(lexer("a\n\n---").map((token) => token.type), ["paragraph", "space", "hr"]);
  },

  async marked_extended() {
    const mention = {
      name: "mention",
      level: "inline",
      start: (text) => text.indexOf("@"),
      tokenizer(text) {
        const found = /^@(\w+)/.exec(text);
        return found ? { type: "mention", raw: found[0], who: found[1] } : undefined;
      },
      renderer: ({ name }) => `<b>${name}</b>`,
    };
    const own = new Marked({ async: true, extensions: [mention] });
    own.use({ walkTokens: async (token) => { if (token.type === "mention") token.name = await Promise.resolve(token.who.toUpperCase()); } });
    equal(await own.parse("hi @ann"), "<p>hi <b>ANN</b></p>\n");
    equal((await own.parse("word ".repeat(20_000))).length > 100_000, true);
  },
};
