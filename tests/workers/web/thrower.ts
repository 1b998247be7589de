// Types above the throwing line, so that its place in the code is another one than in this file.
interface Ignored {
  one: string;
  two: number;
}

export function thrower(message: string): never {
  const ignored: Ignored = { one: message, two: 1 };
  throw new Error(ignored.one);
}
