// A small set of CPU-bound work, written for this project: what Workers do all day, none of it in
// the host's hands. Each case gives a number that every engine must agree on.

let seed = 1;
function random() {
  seed = (Math.imul(seed, 1664525) + 1013904223) | 0;
  return (seed >>> 8) / 0x1000000;
}

function json(rounds) {
  const rows = [];
  for (let i = 0; i < 400; i++) {
    rows.push({ id: i, name: `row ${i}`, tags: ["a", "b", String(i)], nested: { on: i % 2 === 0, ratio: i / 7, none: null } });
  }
  let length = 0;
  for (let i = 0; i < rounds; i++) {
    const text = JSON.stringify({ rows, i });
    length += JSON.parse(text).rows.length + text.length;
  }
  return length;
}

function regex(rounds) {
  const line = /^(\d+\.\d+\.\d+\.\d+) - (\w+) \[([^\]]+)\] "(GET|POST) ([^" ]+)" (\d{3})$/;
  const words = /\b[a-z]+(?:ing|ed|s)\b/gi;
  const text = "Walking dogs jumped over fences while cats watched birds singing in gardens. ".repeat(20);
  let found = 0;
  for (let i = 0; i < rounds; i++) {
    const match = line.exec(`10.0.${i % 256}.7 - user${i} [today] "GET /path/${i}?q=1" 200`);
    found += match === null ? 0 : match[5].length;
    found += (text.match(words) ?? []).length;
    found += text.replace(/(\w+) (\w+)/g, "$2 $1").length;
  }
  return found;
}

function collections(rounds) {
  let sum = 0;
  for (let i = 0; i < rounds; i++) {
    const map = new Map();
    const set = new Set();
    for (let j = 0; j < 2000; j++) {
      const key = `key${(j * 7919) % 1000}`;
      map.set(key, (map.get(key) ?? 0) + j);
      set.add(j % 613);
    }
    for (const value of map.values()) sum = (sum + value) % 1000003;
    sum += set.size;
  }
  return sum;
}

function typedArrays(rounds) {
  const size = 4096;
  const from = new Float64Array(size);
  const bytes = new Uint8Array(size);
  seed = 1;
  for (let i = 0; i < size; i++) {
    from[i] = random();
    bytes[i] = i & 0xff;
  }
  let sum = 0;
  for (let round = 0; round < rounds; round++) {
    for (let i = 1; i < size - 1; i++) from[i] = (from[i - 1] + from[i] * 2 + from[i + 1]) / 4;
    let hash = 0x811c9dc5;
    for (let i = 0; i < size; i++) hash = Math.imul(hash ^ bytes[i], 0x01000193);
    sum = (sum + (hash >>> 0)) % 1000003;
  }
  return sum + Math.round(from[size >> 1] * 1e6);
}

function strings(rounds) {
  let length = 0;
  for (let i = 0; i < rounds; i++) {
    let html = "<ul>";
    for (let j = 0; j < 300; j++) html += `<li class="${j % 2 ? "odd" : "even"}">${j}: ${(j * i).toString(36)}</li>`;
    html += "</ul>";
    length += html.split("<li").map((part) => part.toUpperCase()).join("|").length;
    length += html.indexOf(`${i % 300}:`) + html.slice(5, 500).charCodeAt(7);
  }
  return length;
}

/** Rounds of each case: some tens of milliseconds. */
export const cases = { json: [json, 40], regex: [regex, 2000], collections: [collections, 60], typedArrays: [typedArrays, 500], strings: [strings, 600] };
