// A WebSocket server: says back what it hears; a text that begins with `!` is a command.

export function echoSocket(request) {
  const { 0: client, 1: server } = new WebSocketPair();
  server.accept();
  server.binaryType = "arraybuffer";
  server.addEventListener("message", ({ data }) => {
    if (typeof data !== "string" || data[0] !== "!") {
      server.send(data);
      return;
    }
    const [command, ...rest] = data.slice(1).split(" ");
    commands[command](server, ...rest);
  });
  server.addEventListener("close", ({ code, wasClean }) => console.log(`echo closed ${code} ${wasClean}`));
  const protocol = request.headers.get("sec-websocket-protocol")?.split(", ")[0];
  const headers = protocol === undefined ? {} : { "sec-websocket-protocol": protocol };
  return new Response(null, { status: 101, webSocket: client, headers });
}

const commands = {
  close: (server, code, reason) => server.close(...(code === undefined ? [] : [Number(code), reason ?? ""])),
  text: (server, length) => server.send("\u00e9".repeat(Number(length))),
  bytes: (server, length) => server.send(new Uint8Array(Number(length)).fill(7)),
  many: (server, count) => {
    for (let i = 0; i < Number(count); i++) server.send(String(i));
  },
  spin: () => {
    for (;;);
  },
};
