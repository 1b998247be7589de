// A Worker made of cases: `GET /` lists their names, `GET /<case>` runs one and answers `ok` or
// what went wrong. The assertions are few and say what they saw.

export function equal(actual, expected, what = "value") {
  if (!Object.is(actual, expected)) {
    throw new Error(`${what}: expected ${show(expected)}, got ${show(actual)}`);
  }
}

export function same(actual, expected, what = "value") {
  const [a, b] = [JSON.stringify(actual), JSON.stringify(expected)];
  if (a !== b) throw new Error(`${what}: expected ${b}, got ${a}`);
}

export function matches(text, pattern, what = "text") {
  if (!pattern.test(text)) throw new Error(`${what}: ${show(text)} does not match ${pattern}`);
}

/** Runs `work`, expects it to throw (or reject), gives the error. */
export async function fails(work, { name, message } = {}) {
  let error;
  try {
    await work();
  } catch (caught) {
    error = caught;
  }
  if (error === undefined) throw new Error(`expected a failure${message ? ` like ${message}` : ""}`);
  if (name !== undefined) equal(error.name, name, `name of the error (${error.message})`);
  if (message !== undefined) matches(error.message, message, "message of the error");
  return error;
}

export function sleep(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

export function suite(cases) {
  return {
    async fetch(request, env, ctx) {
      const name = new URL(request.url).pathname.slice(1);
      if (name === "") return Response.json(Object.keys(cases));
      if (!Object.hasOwn(cases, name)) return new Response(`no case ${name}`, { status: 404 });
      try {
        await cases[name](env, ctx, request);
        return new Response("ok");
      } catch (error) {
        return new Response(`${error?.name}: ${error?.message}\n${error?.stack}`, { status: 500 });
      }
    },
  };
}

function show(value) {
  return typeof value === "string" ? JSON.stringify(value) : String(value);
}
