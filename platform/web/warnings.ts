// Warnings: what a Worker does that is allowed and surely not meant.
//
// They go to a sink that boot sets, and from there to the console and to tails.
//
// Invariant: a warning changes nothing but what is logged.

let sink: (text: string) => void = () => {};

export function setWarningSink(next: (text: string) => void): void {
  sink = next;
}

export function warn(text: string): void {
  sink(text);
}

/** Types whose bytes are text, roughly as the MIME Sniffing standard groups them. */
const TEXT = /^\s*(text\/|[^;]*(json|xml|javascript|ecmascript|x-www-form-urlencoded))/i;

/** `text()` of a body whose type says that it is none. */
export function warnIfNotText(type: string | undefined): void {
  if (type === undefined || TEXT.test(type) || !type.includes("/")) return;
  warn(
    "Called .text() on an HTTP body which does not appear to be text. The body's Content-Type is " +
      `"${type}". The result will probably be corrupted. Consider checking the Content-Type header before ` +
      "interpreting entities as text.",
  );
}

/** A FormData whose boundary the recipient will not learn. */
export function warnOfFormData(): void {
  warn(
    "A FormData body was provided with a custom Content-Type header when constructing a Request or Response object. " +
      "This will prevent the recipient of the Request or Response from being able to parse the body. Consider " +
      "omitting the custom Content-Type header.",
  );
}
