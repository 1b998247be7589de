// Sends `/a/...` to parent-a and everything else to parent-b.
export default {
  fetch(request, env) {
    return new URL(request.url).pathname.startsWith("/a") ? env.A.fetch(request) : env.B.fetch(request);
  },
};
