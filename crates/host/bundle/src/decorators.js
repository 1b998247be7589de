function $mayflyDecorators() {
  const given = [], keys = [], ofClass = [], initial = [], extra = [], decorated = [], ofInstances = [], ofStatics = [];
  const slots = { method: "value", getter: "get", setter: "set" };
  let cls, table, metadata;
  const functionOr = (value, what) => {
    if (typeof value === "function") return value;
    throw new TypeError(what + " must be a function");
  };
  const call = (decorator, value, context, list) => {
    let done = false;
    const addInitializer = (initializer) => {
      if (done) throw new TypeError("Cannot add initializers after decoration has completed");
      list.push(functionOr(initializer, "An initializer"));
    };
    try {
      return functionOr(decorator, "A decorator")(value, { ...context, addInitializer, metadata });
    } finally {
      done = true;
    }
  };
  const decorate = (index) => {
    const [kind, isStatic, name, access] = table[index];
    if (decorated[index] || given[index] === undefined) return;
    decorated[index] = true;
    const key = index in keys ? keys[index] : name;
    const target = isStatic ? cls : cls.prototype;
    const canGet = kind !== "setter", canSet = kind === "field" || kind === "accessor" || kind === "setter";
    const open = { has: (object) => key in object };
    if (canGet) open.get = (object) => object[key];
    if (canSet) open.set = (object, value) => { object[key] = value; };
    const context = { kind, name: key, static: isStatic, private: access !== undefined, access: access ?? open };
    const isField = kind === "field";
    const list = isField || kind === "accessor" ? (extra[index] = []) : isStatic ? ofStatics : ofInstances;
    const descriptor = isField ? undefined : Object.getOwnPropertyDescriptor(target, key);
    initial[index] = [];
    for (const decorator of given[index].reverse()) {
      if (isField) {
        const result = call(decorator, undefined, context, list);
        if (result !== undefined) initial[index].unshift(functionOr(result, "What a decorator of a field returns"));
      } else if (kind === "accessor") {
        const result = call(decorator, { get: descriptor.get, set: descriptor.set }, context, list);
        if (result === undefined) continue;
        if (typeof result !== "object" || result === null) throw new TypeError("What a decorator of an accessor returns must be an object");
        if (result.get !== undefined) descriptor.get = functionOr(result.get, "A getter");
        if (result.set !== undefined) descriptor.set = functionOr(result.set, "A setter");
        if (result.init !== undefined) initial[index].unshift(functionOr(result.init, "An initializer"));
      } else {
        const slot = slots[kind];
        const result = call(decorator, descriptor[slot], context, list);
        if (result !== undefined) descriptor[slot] = functionOr(result, "What a decorator of a method returns");
      }
    }
    if (!isField) Object.defineProperty(target, key, descriptor);
  };
  const run = (list, self) => { for (const initializer of list) initializer.call(self); };
  return {
    ofClass(decorator) { ofClass.push(decorator); },
    begin(made, elements) {
      cls = made;
      table = elements;
      if (Symbol.metadata !== undefined) metadata = Object.create(Object.getPrototypeOf(made)?.[Symbol.metadata] ?? null);
    },
    key(index, value) { return (keys[index] = typeof value === "symbol" ? value : String(value)); },
    give(index, decorator) { (given[index] ??= []).push(decorator); },
    field(self, index, value) {
      decorate(index);
      for (const initializer of initial[index] ?? []) value = initializer.call(self, value);
      return value;
    },
    after(self, index) { run(extra[index] ?? [], self); },
    instance(self) { run(ofInstances, self); },
    end() {
      const isField = ([kind]) => kind === "field";
      for (const fields of [false, true]) for (const statics of [true, false]) {
        table.forEach((element, index) => { if (isField(element) === fields && element[1] === statics) decorate(index); });
      }
      if (ofClass.length === 0) run(ofStatics, cls);
      if (metadata !== undefined && ofClass.length === 0) Object.defineProperty(cls, Symbol.metadata, { value: metadata, configurable: true, writable: true });
    },
    done(made) {
      const list = [];
      for (const decorator of ofClass.reverse()) {
        const result = call(decorator, made, { kind: "class", name: made.name }, list);
        if (result !== undefined) made = functionOr(result, "What a decorator of a class returns");
      }
      if (metadata !== undefined) Object.defineProperty(made, Symbol.metadata, { value: metadata, configurable: true, writable: true });
      run(ofStatics, made);
      run(list, made);
      return made;
    },
  };
}
