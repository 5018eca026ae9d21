// Starts the real `@modelcontextprotocol/server-everything` with a count of what its tools ran: over Streamable HTTP, `sse`
// (the transport of 2024-11-05), or `stdio FILE`. It takes its port from PORT and does not print the one it got, so `listen`
// is made to choose loopback and to tell.
// First line on stdout: {"event":"listening","mcp":"http://127.0.0.1:PORT/mcp","control":URL} (`/sse` with `sse`);
// `GET /state` on `control` tells {"executions": {tool: count}}. Over stdio FILE holds {"control": URL}.
import { once } from 'node:events';
import { renameSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { Server } from 'node:net';
import { McpServer } from '@modelcontextprotocol/sdk/server/mcp.js';

const [transport = 'streamableHttp', file] = process.argv.slice(2);
const executions = {};
const register = McpServer.prototype.registerTool;
McpServer.prototype.registerTool = function (name, config, run) {
  return register.call(this, name, config, (...called) => {
    executions[name] = (executions[name] ?? 0) + 1;
    return run(...called);
  });
};

const control = createServer((_, res) => {
  res.writeHead(200, { 'content-type': 'application/json', connection: 'close' });
  res.end(JSON.stringify({ executions }));
}).listen(0, '127.0.0.1');
await once(control, 'listening');
const controlUrl = `http://127.0.0.1:${control.address().port}`;

if (transport === 'stdio') {
  // whole or not at all: a test waits for it
  writeFileSync(`${file}.new`, JSON.stringify({ control: controlUrl }));
  renameSync(`${file}.new`, file);
  process.stdin.on('end', () => process.exit(0));
} else {
  const listen = Server.prototype.listen;
  Server.prototype.listen = function (port, ...rest) {
    const ready = rest.find((argument) => typeof argument === 'function');
    return listen.call(this, Number(port), '127.0.0.1', () => {
      ready?.call(this);
      const mcp = `http://127.0.0.1:${this.address().port}/${transport === 'sse' ? 'sse' : 'mcp'}`;
      process.stdout.write(`${JSON.stringify({ event: 'listening', mcp, control: controlUrl })}\n`);
    });
  };
}

process.env.PORT = '0';
process.argv[2] = transport;
await import('@modelcontextprotocol/server-everything/dist/index.js');
