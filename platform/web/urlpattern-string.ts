// Constructor strings of URLPattern: finds which part of `https://*.example.com/:path?q#h` is which
// component, without compiling any but the protocol.
//
// Invariant: a component that is absent from the result was not written and takes its default.

import { type Token, tokenize } from "./urlpattern-parse.ts";

export interface PatternInit {
  protocol?: string;
  username?: string;
  password?: string;
  hostname?: string;
  port?: string;
  pathname?: string;
  search?: string;
  hash?: string;
  baseURL?: string;
}

type State =
  | "init"
  | "protocol"
  | "authority"
  | "username"
  | "password"
  | "hostname"
  | "port"
  | "pathname"
  | "search"
  | "hash"
  | "done";

const BEFORE_HOSTNAME: ReadonlySet<State> = new Set(["protocol", "authority", "username", "password"]);
const AFTER_HOSTNAME: ReadonlySet<State> = new Set(["port", "pathname", "search", "hash"]);
const BEFORE_PATHNAME: ReadonlySet<State> = new Set(["protocol", "authority", "username", "password", "hostname", "port"]);
const BEFORE_SEARCH: ReadonlySet<State> = new Set([...BEFORE_PATHNAME, "pathname"]);

class ConstructorStringParser {
  readonly result: PatternInit = {};
  readonly input: string;
  readonly tokens: Token[];
  readonly matchesSpecialScheme: (protocol: string) => boolean;
  state: State = "init";
  start = 0;
  at = 0;
  increment = 1;
  groupDepth = 0;
  bracketDepth = 0;
  special = false;

  constructor(input: string, matchesSpecialScheme: (protocol: string) => boolean) {
    this.input = input;
    this.tokens = tokenize(input, "lenient");
    this.matchesSpecialScheme = matchesSpecialScheme;
  }

  run(): PatternInit {
    while (this.at < this.tokens.length) {
      this.increment = 1;
      if (this.token(this.at).type === "end") {
        if (this.atEnd()) {
          break;
        }
      } else {
        this.step();
      }
      this.at += this.increment;
    }
    // A hostname without a port means the default port, not any port.
    if (this.result.hostname !== undefined && this.result.port === undefined) {
      this.result.port = "";
    }
    return this.result;
  }

  /** Whether the end token was the end of the work, too. */
  atEnd(): boolean {
    if (this.state === "init") {
      // No protocol: everything is relative to a base URL.
      this.rewind("init");
      if (this.is("#")) {
        this.change("hash", 1);
      } else if (this.isSearchPrefix()) {
        this.change("search", 1);
      } else {
        this.change("pathname", 0);
      }
      return false;
    }
    if (this.state === "authority") {
      this.rewind("hostname");
      return false;
    }
    this.change("done", 0);
    return true;
  }

  step(): void {
    const { type } = this.token(this.at);
    if (type === "open") {
      this.groupDepth += 1;
      return;
    }
    if (this.groupDepth > 0) {
      if (type !== "close") {
        return;
      }
      this.groupDepth -= 1;
    }
    this.stepIn(this.state);
  }

  stepIn(state: State): void {
    switch (state) {
      case "init":
        if (this.is(":")) {
          this.rewind("protocol");
        }
        return;
      case "protocol":
        if (this.is(":")) {
          this.afterProtocol();
        }
        return;
      case "authority":
        if (this.is("@")) {
          this.rewind("username");
        } else if (this.is("/") || this.isSearchPrefix() || this.is("#")) {
          this.rewind("hostname");
        }
        return;
      case "username":
        if (this.is(":")) {
          this.change("password", 1);
        } else if (this.is("@")) {
          this.change("hostname", 1);
        }
        return;
      case "password":
        if (this.is("@")) {
          this.change("hostname", 1);
        }
        return;
      case "hostname":
        return this.inHostname();
      case "port":
      case "pathname":
      case "search":
        return this.inRest(state);
      default:
        return;
    }
  }

  afterProtocol(): void {
    this.special = this.matchesSpecialScheme(this.componentText());
    if (this.is("/", this.at + 1) && this.is("/", this.at + 2)) {
      this.change("authority", 3);
    } else {
      this.change(this.special ? "authority" : "pathname", 1);
    }
  }

  inHostname(): void {
    if (this.is("[")) {
      this.bracketDepth += 1;
    } else if (this.is("]")) {
      this.bracketDepth -= 1;
    } else if (this.is(":") && this.bracketDepth === 0) {
      this.change("port", 1);
    } else {
      this.inRest("hostname");
    }
  }

  /** The components that end where a later one begins. */
  inRest(state: "hostname" | "port" | "pathname" | "search"): void {
    if ((state === "hostname" || state === "port") && this.is("/")) {
      this.change("pathname", 0);
    } else if (state !== "search" && this.isSearchPrefix()) {
      this.change("search", 1);
    } else if (this.is("#")) {
      this.change("hash", 1);
    }
  }

  rewind(state: State): void {
    this.at = this.start;
    this.increment = 0;
    this.state = state;
  }

  change(next: State, skip: number): void {
    const { state, result } = this;
    if (state !== "init" && state !== "authority" && state !== "done") {
      result[state] = this.componentText();
    }
    if (state !== "init" && next !== "done") {
      if (BEFORE_HOSTNAME.has(state) && AFTER_HOSTNAME.has(next)) {
        result.hostname ??= "";
      }
      if (BEFORE_PATHNAME.has(state) && (next === "search" || next === "hash")) {
        result.pathname ??= this.special ? "/" : "";
      }
      if (BEFORE_SEARCH.has(state) && next === "hash") {
        result.search ??= "";
      }
    }
    this.state = next;
    this.at += skip;
    this.start = this.at;
    this.increment = 0;
  }

  token(at: number): Token {
    return (this.tokens[at] ?? this.tokens[this.tokens.length - 1]) as Token;
  }

  /** Whether the token is this character and not one that means something in patterns. */
  is(char: string, at: number = this.at): boolean {
    const { type, value } = this.token(at);
    return value === char && (type === "char" || type === "escaped-char" || type === "invalid-char");
  }

  /** A `?` begins the search unless it makes what stands before it optional. */
  isSearchPrefix(): boolean {
    if (this.is("?")) {
      return true;
    }
    if (this.token(this.at).value !== "?") {
      return false;
    }
    const previous = this.at === 0 ? undefined : this.token(this.at - 1).type;
    return !(previous === "name" || previous === "regexp" || previous === "close" || previous === "asterisk");
  }

  componentText(): string {
    return this.input.slice(this.token(this.start).index, this.token(this.at).index);
  }
}

/** "Parse a constructor string". */
export function parseConstructorString(input: string, matchesSpecialScheme: (protocol: string) => boolean): PatternInit {
  return new ConstructorStringParser(input, matchesSpecialScheme).run();
}
