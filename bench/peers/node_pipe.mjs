/** An echo server of node:net with `pipe`, which ignores line ends. Usage: node_pipe.mjs PORT. */
import { createServer } from "node:net";

createServer({ noDelay: true }, (socket) => {
  socket.on("error", () => {});
  socket.pipe(socket);
}).listen(Number(process.argv[2]), "127.0.0.1", 4096);
