// The same in JavaScript, whose text is kept but for what is decorated.

import { equal, fails } from "../kit/suite.js";

function twice(value) {
  return function (...args) {
    return value.apply(this, args) * 2;
  };
}

const renamed = (name) => (value) => Object.defineProperty(value, "name", { value: name });

export @renamed("Renamed") class Plain {
  @twice two() { return this.#one; } #one = 1;
  accessor three = 3; static accessor four = 4
}

export default @renamed("Default")
class {
  @twice
  throws() {
    throw new Error("here");
  }
}

import Default from "./plain.js";

export const plain = {
  decorators_in_javascript() {
    const made = new Plain();
    equal([made.two(), made.three, Plain.four, Plain.name, Default.name].join(), "2,3,4,Renamed,Default");
  },

  async lines_stay_where_they_were() {
    const { stack } = await fails(() => new Default().throws());
    equal(/plain\.js:(\d+)/.exec(stack)[1], "22");
  },
};
