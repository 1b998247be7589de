// A Date whose local fields are those of UTC: what date-fns' `in` option is for. A subclass, so it
// also shows that the engine's Date can be one.

export class UTCDate extends Date {}

for (const part of ["FullYear", "Month", "Date", "Day", "Hours", "Minutes", "Seconds", "Milliseconds"]) {
  UTCDate.prototype[`get${part}`] = Date.prototype[`getUTC${part}`];
  if (part !== "Day") UTCDate.prototype[`set${part}`] = Date.prototype[`setUTC${part}`];
}
UTCDate.prototype.getTimezoneOffset = () => 0;
