// The API that a model writes code against: `notes.d.ts` declares it, this class does it.
//
// Each stub is for one user, whom the Worker names when it makes it (`ctx.exports.Notes({ props })`). Code that
// holds a stub can reach that user's notes and nothing else: there is no argument in which it could name another.

import { WorkerEntrypoint } from "cloudflare:workers";

const TEXT_CHARS_MAX = 1000;

interface Note {
  id: string;
  text: string;
  added: number;
}

export class Notes extends WorkerEntrypoint<{ NOTES: KVNamespace }, { user: string }> {
  async list(): Promise<Note[]> {
    const { keys } = await this.env.NOTES.list<Note>({ prefix: this.#key("") });
    const notes = keys.map(({ metadata }) => metadata as Note);
    return notes.sort((one, other) => one.added - other.added);
  }

  async add(text: string): Promise<Note> {
    // What comes over the wire was written by nobody we know.
    if (typeof text !== "string" || text === "") throw new TypeError("add() takes a text.");
    if (text.length > TEXT_CHARS_MAX) throw new RangeError(`A note has at most ${TEXT_CHARS_MAX} characters.`);
    const note: Note = { id: crypto.randomUUID(), text, added: Date.now() };
    await this.env.NOTES.put(this.#key(note.id), text, { metadata: note });
    return note;
  }

  async remove(id: string): Promise<boolean> {
    const key = this.#key(String(id));
    const there = (await this.env.NOTES.get(key)) !== null;
    await this.env.NOTES.delete(key);
    return there;
  }

  #key(id: string): string {
    return `${encodeURIComponent(this.ctx.props.user)}/${encodeURIComponent(id)}`;
  }
}
