// Another Worker with one database of `d1`'s and one of its own: `tests/workers/d1` asks it.

export default {
  async fetch(request, { DB, OWN }) {
    switch (new URL(request.url).pathname) {
      case "/shared":
        return Response.json((await DB.prepare("SELECT a FROM shared").all()).results);
      case "/own":
        await OWN.exec("CREATE TABLE IF NOT EXISTS only_here (a)");
        return Response.json((await OWN.prepare("SELECT name FROM sqlite_schema").raw()).flat());
      case "/spend":
        try {
          for (let i = 0; i < 6; i++) await OWN.prepare("SELECT ?").bind(i).first();
        } catch (error) {
          return new Response(error.message);
        }
        return new Response("as often as it likes");
      default:
        return new Response("d1-other", { status: 404 });
    }
  },
};
