// node:punycode: RFC 3492, and domains by it.
//
// Invariant: `decode(encode(text))` is `text` for every well-formed text.

const BASE = 36;
const T_MIN = 1;
const T_MAX = 26;
const SKEW = 38;
const DAMP = 700;
const BIAS_INITIAL = 72;
const N_INITIAL = 0x80;
const INTEGER_MAX = 2 ** 31 - 1;

const SEPARATORS = /[\u002e\u3002\uff0e\uff61]/g;

const overflow = (): RangeError => new RangeError("Overflow: input needs wider integers to process");
const invalid = (): RangeError => new RangeError("Invalid input");
const notBasic = (): RangeError => new RangeError("Illegal input >= 0x80 (not a basic code point)");

const ucs2 = {
  /** Code points; halves of pairs stand for themselves. */
  decode: (text: string): number[] => Array.from(String(text), (character) => character.codePointAt(0) as number),
  encode: (points: readonly number[]): string => String.fromCodePoint(...points),
};

function digitOf(code: number): number {
  if (code >= 0x30 && code < 0x3a) return code - 0x30 + 26;
  const letter = code | 0x20;
  return letter >= 0x61 && letter < 0x7b && code >= 0x41 ? letter - 0x61 : BASE;
}

function signOf(digit: number): string {
  return String.fromCharCode(digit < 26 ? digit + 0x61 : digit - 26 + 0x30);
}

function adapt(given: number, points: number, isFirst: boolean): number {
  let delta = isFirst ? Math.floor(given / DAMP) : given >> 1;
  delta += Math.floor(delta / points);
  let k = 0;
  for (; delta > ((BASE - T_MIN) * T_MAX) >> 1; k += BASE) delta = Math.floor(delta / (BASE - T_MIN));
  return Math.floor(k + ((BASE - T_MIN + 1) * delta) / (delta + SKEW));
}

function threshold(k: number, bias: number): number {
  return k <= bias ? T_MIN : k >= bias + T_MAX ? T_MAX : k - bias;
}

function decode(text: string): string {
  const basic = Math.max(0, text.lastIndexOf("-"));
  const output: number[] = [];
  for (let at = 0; at < basic; at++) {
    const code = text.charCodeAt(at);
    if (code >= 0x80) throw notBasic();
    output.push(code);
  }
  let [n, i, bias] = [N_INITIAL, 0, BIAS_INITIAL];
  for (let at = basic > 0 ? basic + 1 : 0; at < text.length; ) {
    const before = i;
    for (let w = 1, k = BASE; ; k += BASE) {
      if (at >= text.length) throw invalid();
      const digit = digitOf(text.charCodeAt(at++));
      if (digit >= BASE) throw invalid();
      if (digit > Math.floor((INTEGER_MAX - i) / w)) throw overflow();
      i += digit * w;
      const t = threshold(k, bias);
      if (digit < t) break;
      if (w > Math.floor(INTEGER_MAX / (BASE - t))) throw overflow();
      w *= BASE - t;
    }
    const count = output.length + 1;
    bias = adapt(i - before, count, before === 0);
    if (Math.floor(i / count) > INTEGER_MAX - n) throw overflow();
    n += Math.floor(i / count);
    i %= count;
    output.splice(i++, 0, n);
  }
  return String.fromCodePoint(...output);
}

function encode(text: string): string {
  const input = ucs2.decode(text);
  let output = String.fromCharCode(...input.filter((point) => point < 0x80));
  const basic = output.length;
  let handled = basic;
  if (basic > 0) output += "-";
  let [n, delta, bias] = [N_INITIAL, 0, BIAS_INITIAL];
  while (handled < input.length) {
    const next = Math.min(...input.filter((point) => point >= n));
    if (next - n > Math.floor((INTEGER_MAX - delta) / (handled + 1))) throw overflow();
    delta += (next - n) * (handled + 1);
    n = next;
    for (const point of input) {
      if (point < n && ++delta > INTEGER_MAX) throw overflow();
      if (point !== n) continue;
      let q = delta;
      for (let k = BASE; ; k += BASE) {
        const t = threshold(k, bias);
        if (q < t) break;
        output += signOf(t + ((q - t) % (BASE - t)));
        q = Math.floor((q - t) / (BASE - t));
      }
      output += signOf(q);
      bias = adapt(delta, handled + 1, handled === basic);
      delta = 0;
      handled++;
    }
    delta++;
    n++;
  }
  return output;
}

/** Works on each label; of an address only what follows the at sign is a domain. */
function eachLabel(domain: string, work: (label: string) => string): string {
  const parts = String(domain).split("@");
  const [local, name] = parts.length > 1 ? [`${parts[0]}@`, parts[1] as string] : ["", parts[0] as string];
  return local + name.replace(SEPARATORS, ".").split(".").map(work).join(".");
}

function toASCII(domain: string): string {
  return eachLabel(domain, (label) => (/[^\0-\x7f]/.test(label) ? `xn--${encode(label)}` : label));
}

function toUnicode(domain: string): string {
  return eachLabel(domain, (label) => (label.startsWith("xn--") ? decode(label.slice(4).toLowerCase()) : label));
}

const members: Record<string, unknown> = { decode, encode, toASCII, toUnicode, ucs2, version: "2.3.1" };

export const punycodeModule: Record<string, unknown> = { ...members, default: members };
