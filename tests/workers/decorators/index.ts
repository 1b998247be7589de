// Decorators and `accessor` fields: what they get, when they are called, and what becomes of what they give back. What
// is expected was compared with what TypeScript's own compiler makes of the same text.

import { equal, fails, same, suite } from "../kit/suite.js";
import { plain } from "./plain.js";

type Context = { kind: string; name: string | symbol; static: boolean; private: boolean; access: Access; addInitializer(f: (this: any) => void): void };
type Access = { get?(object: object): any; set?(object: object, value: any): void; has(object: object): boolean };

let told: string[] = [];

function shown({ kind, name, static: isStatic, private: isPrivate, access }: Context): string {
  return `${isStatic ? "static " : ""}${isPrivate ? "private " : ""}${kind} ${String(name)} ${Object.keys(access ?? {}).sort()}`;
}

/** Of methods, getters and setters. */
function method(tag: string): any {
  return (value: Function, context: Context) => {
    told.push(`${tag} ${shown(context)}`);
    context.addInitializer(function () { told.push(`${tag} of ${typeof this}`); });
    return function (this: any, ...args: unknown[]) { return `${tag}(${value.apply(this, args)})`; };
  };
}

function field(tag: string): any {
  return (value: undefined, context: Context) => {
    told.push(`${tag} ${shown(context)} ${value}`);
    context.addInitializer(function () { told.push(`${tag} after ${Object.keys(this)}`); });
    return (given: unknown) => `${tag}:${given}`;
  };
}

function accessed(tag: string): any {
  return ({ get, set }: { get(): any; set(value: any): void }, context: Context) => {
    told.push(`${tag} ${shown(context)}`);
    return {
      get(this: any) { return `${tag}<${get.call(this)}>`; },
      set(this: any, value: any) { set.call(this, `${tag}=${value}`); },
      init: (value: any) => `${tag}!${value}`,
    };
  };
}

function named(tag: string): any {
  return (value: Function, context: Context) => {
    told.push(`${tag} ${context.kind} ${String(context.name)}`);
    context.addInitializer(function () { told.push(`${tag} of ${this.name}`); });
  };
}

const symbol = Symbol("symbol");

@named("first")
@named("second")
export class Everything {
  @method("a") @method("b")
  hello(name: string): string {
    return `hello ${name}`;
  }
  @method("get") get one() { return 1; }
  @method("set") set two(value: string) { told.push(`set ${value}`); }
  @method("static") static three() { return 3; }
  @field("x") @field("y") four = 4;
  @field("none") five!: unknown;
  @field("hidden") #six = 6;
  get six() { return this.#six; }
  @field("computed") ["sev" + "en"] = 7;
  @method("symbol") [symbol]() { return 8; }
  @accessed("access") accessor nine = 9;
  accessor ten = 10;
  @method("quoted") "e leven"() { return 11; }
  twelve = this.four;
}

class Child extends Everything {
  @method("child") hello(name: string) { return `${super.hello(name)}!`; }
  @field("own") own = (() => this.twelve)();
}

function decorated(f: () => unknown): string[] {
  told = [];
  f();
  return told;
}

const atStart = told;

export default suite({
  ...plain,

  classes_are_decorated_once_and_in_order() {
    same(atStart, [
      "static static method three get,has", "b method hello get,has", "a method hello get,has", "get getter one get,has",
      "set setter two has,set", "symbol method Symbol(symbol) get,has", "access accessor nine get,has,set",
      "quoted method e leven get,has", "y field four get,has,set undefined", "x field four get,has,set undefined",
      "none field five get,has,set undefined", "hidden private field #six get,has,set undefined",
      "computed field seven get,has,set undefined", "second class Everything", "first class Everything", "static of function",
      "second of Everything", "first of Everything", "child method hello get,has", "own field own get,has,set undefined",
    ]);
  },

  instances_are_initialised_in_order() {
    same(decorated(() => new Everything()), [
      "b of object", "a of object", "get of object", "set of object", "symbol of object", "quoted of object",
      "y after four", "x after four", "none after four,five", "hidden after four,five", "computed after four,five,seven",
    ]);
    same(decorated(() => new Child()).slice(-2), ["child of object", "own after four,five,seven,twelve,own"]);
  },

  members_are_what_decorators_make_of_them() {
    const made: any = new Everything();
    same([made.hello("you"), made.one, Everything.three(), made[symbol](), made["e leven"]()],
      ["a(b(hello you))", "get(1)", "static(3)", "symbol(8)", "quoted(11)"]);
    same([made.four, made.five, made.six, made.seven, made.twelve], ["y:x:4", "none:undefined", "hidden:6", "computed:7", "y:x:4"]);
    same([made.nine, made.ten], ["access<access!9>", 10]);
    made.nine = 1;
    made.ten = 2;
    same([made.nine, made.ten, Object.keys(made)], ["access<access=1>", 2, ["four", "five", "seven", "twelve"]]);
    same(decorated(() => { made.two = "2"; }), ["set 2"]);
    const child: any = new Child();
    same([child.hello("you"), child.own], ["child(a(b(hello you))!)", "own:y:x:4"]);
  },

  each_evaluation_of_a_class_is_its_own() {
    const make = (tag: string) => class { @field(tag) @method as = 1; };
    function method(_: undefined, context: Context) { context.addInitializer(function () { told.push("made"); }); }
    const [One, Two] = [make("one"), make("two")];
    same([new One().as, new Two().as, new One().as], ["one:1", "two:1", "one:1"]);
    const Expression = @named("expression") class Inner { @method2 f() { return 1; } };
    function method2(value: () => number) { return () => value() + 1; }
    same([new Expression().f(), Expression.name], [2, "Inner"]);
  },

  access_reaches_the_member() {
    const accesses: Record<string, Access> = {};
    const keep: any = (_: unknown, { name, access }: Context) => { accesses[String(name)] = access; };
    class Kept { @keep #hidden = 1; @keep open = 2; @keep method() { return this.#hidden; } }
    const kept = new Kept();
    const hidden = accesses["#hidden"]!;
    same([hidden.get!(kept), hidden.has(kept), hidden.has({})], [1, true, false]);
    hidden.set!(kept, 3);
    same([kept.method(), accesses["open"]!.get!(kept), accesses["method"]!.has(kept), accesses["method"]!.set], [3, 2, true, undefined]);
  },

  async what_is_no_decorator_is_refused() {
    const not: any = 1;
    equal((await fails(() => { class No { @not f() {} } return No; })).name, "TypeError");
    equal((await fails(() => { class No { @((() => 1) as any) f() {} } return No; })).name, "TypeError");
    let late: any;
    class Kept { @((_: unknown, context: Context) => { late = context.addInitializer; }) f() {} }
    equal((await fails(() => late(() => {}))).name, "TypeError");
    equal(new Kept().f(), undefined);
  },

  async an_error_has_the_line_of_the_file() {
    const { stack } = await fails(() => new Everything().hello(null!.x));
    equal(/index\.ts:(\d+)/.exec(stack)![1], "156");
  },
});
