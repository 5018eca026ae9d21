// A fixture MCP server on the official SDK. Its first line on stdout tells where it listens:
//   {"event":"listening","mcp":"http://127.0.0.1:PORT/mcp","control":"http://127.0.0.1:PORT"}
// Argument: a JSON object {"era": "session" | "current", "json": false, "port": 0,
//   "slowList": false (`session`: takes half a second to list its tools, and counts that as `tools/list`)}.
import { createServer } from 'node:http';
import { once } from 'node:events';
import { currentEra, sessionEra } from './fixture/eras.mjs';
import { World } from './fixture/world.mjs';

const settings = { era: 'session', json: false, port: 0, ...JSON.parse(process.argv[2] ?? '{}') };
const eras = { session: sessionEra, current: currentEra };
const serve = eras[settings.era];
if (!serve) throw new Error(`era \`${settings.era}\` is none of: ${Object.keys(eras).join(', ')}`);

const world = new World();
world.slowList = settings.slowList;
const handle = serve(world, settings);

async function bodyOf(req) {
  const parts = [];
  for await (const part of req) parts.push(part);
  return Buffer.concat(parts);
}

const mcp = createServer(async (req, res) => {
  try {
    const body = await bodyOf(req);
    world.record(req, res, body);
    if (req.url !== '/mcp') {
      res.writeHead(404).end();
      return;
    }
    await handle(req, res, body.length > 0 ? JSON.parse(body.toString('utf8')) : undefined);
  } catch (error) {
    if (!res.headersSent) res.writeHead(400, { 'content-type': 'text/plain' });
    res.end(`fixture: ${error.message}`);
  }
});
mcp.keepAliveTimeout = 5_000;

async function listen(server, port) {
  server.listen(port, '127.0.0.1');
  await once(server, 'listening');
  return `http://127.0.0.1:${server.address().port}`;
}

const control = await listen(world.control(), 0);
const at = await listen(mcp, settings.port);
process.stdout.write(`${JSON.stringify({ event: 'listening', mcp: `${at}/mcp`, control })}\n`);
