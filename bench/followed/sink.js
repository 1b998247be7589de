// Counts what it hears: GET /count.

let items = 0;
let events = 0;

export default {
  fetch() {
    return Response.json({ items, events });
  },
  tail(got) {
    items += got.length;
  },
  tailStream() {
    events++;
    return () => {
      events++;
    };
  },
};
