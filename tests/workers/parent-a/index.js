// Loads a child under an id that the other parent uses too; the child tells whose it is.
export default {
  fetch(request, env) {
    const child = env.LOADER.get("same-id", () => ({
      compatibilityDate: "2026-08-01",
      mainModule: "main.js",
      modules: {
        "main.js": `let n = 0; export default { fetch(r, env) { return new Response(env.SECRET + " " + ++n); } };`,
      },
      env: { SECRET: env.SECRET },
    }));
    return child.getEntrypoint().fetch(request);
  },
};
