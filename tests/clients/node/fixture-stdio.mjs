// The fixture server over stdio, on both generations of the official SDK. Where its side port listens stands in a file.
// Argument: a JSON object {"era": "session" | "current", "control": FILE}.
import { once } from 'node:events';
import { renameSync, writeFileSync } from 'node:fs';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { currentServer, sessionServer } from './fixture/eras.mjs';
import { World } from './fixture/world.mjs';

const settings = { era: 'session', ...JSON.parse(process.argv[2]) };
const world = new World();
const control = world.control();
control.listen(0, '127.0.0.1');
await once(control, 'listening');
// whole or not at all: a test waits for it, and several processes may write it
writeFileSync(`${settings.control}.${process.pid}`, JSON.stringify({ control: `http://127.0.0.1:${control.address().port}` }));
renameSync(`${settings.control}.${process.pid}`, settings.control);

if (settings.era === 'current') {
  serveStdio(() => currentServer(world));
} else {
  const server = sessionServer(world);
  world.notifiers.add(() => server.server.sendToolListChanged());
  await server.connect(new StdioServerTransport());
}
process.stdin.on('end', () => process.exit(0));
