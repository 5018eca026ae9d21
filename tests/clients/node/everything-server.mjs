// Starts the real `@modelcontextprotocol/server-everything` (Streamable HTTP, or `sse`: the transport of 2024-11-05) on a free loopback port. It takes its
// port from PORT and does not print the one it got, so `listen` is made to choose loopback and to tell.
// First line on stdout: {"event":"listening","mcp":"http://127.0.0.1:PORT/mcp"} (`/sse` with `sse`)
import { Server } from 'node:net';

const legacy = process.argv[2] === 'sse';
const listen = Server.prototype.listen;
Server.prototype.listen = function (port, ...rest) {
  const ready = rest.find((argument) => typeof argument === 'function');
  return listen.call(this, Number(port), '127.0.0.1', () => {
    ready?.call(this);
    const mcp = `http://127.0.0.1:${this.address().port}/${legacy ? 'sse' : 'mcp'}`;
    process.stdout.write(`${JSON.stringify({ event: 'listening', mcp })}\n`);
  });
};

process.env.PORT = '0';
process.argv[2] = legacy ? 'sse' : 'streamableHttp';
await import('@modelcontextprotocol/server-everything/dist/index.js');
