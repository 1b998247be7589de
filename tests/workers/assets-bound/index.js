// Reads the page of a Worker that has no code.
export default {
  async fetch(request, env) {
    const page = await env.SITE.fetch(request);
    return new Response(`bound: ${await page.text()}`, page);
  },
};
