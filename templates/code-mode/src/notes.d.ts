/** A note of the user whose assistant you are. */
interface Note {
  id: string;
  text: string;
  /** Milliseconds since the epoch. */
  added: number;
}

/** The user's notes. */
declare const notes: {
  /** All of them, the oldest first. */
  list(): Promise<Note[]>;
  /** Keeps a text of at most 1,000 characters. */
  add(text: string): Promise<Note>;
  /** Whether there was such a note. */
  remove(id: string): Promise<boolean>;
};
