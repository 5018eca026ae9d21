// A server on the official SDK that offers the tools of a file, page by page, and runs none.
// Argument: a JSON object {"file": FILE, "page": 3, "transport": "http" | "sse" | "stdio", "era": "session" | "current",
//   "authorization": what each request must carry (http)}. FILE holds {"serverInfo": {"name", "version"}, "tools": [...]},
//   and is read anew for each list. First line on stdout, not over stdio: {"event":"listening","mcp":URL}.
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { createServer } from 'node:http';
import { Server as SessionServer } from '@modelcontextprotocol/sdk/server/index.js';
import { SSEServerTransport } from '@modelcontextprotocol/sdk/server/sse.js';
import { StdioServerTransport } from '@modelcontextprotocol/sdk/server/stdio.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import { ListToolsRequestSchema } from '@modelcontextprotocol/sdk/types.js';
import { createMcpHandler, McpServer } from '@modelcontextprotocol/server';
import { serveStdio } from '@modelcontextprotocol/server/stdio';
import { toNodeHandler } from '@modelcontextprotocol/node';

const settings = { page: 3, transport: 'http', era: 'session', ...JSON.parse(process.argv[2]) };
const read = () => JSON.parse(readFileSync(settings.file, 'utf8'));
const INFO = read().serverInfo;
const CAPABILITIES = { capabilities: { tools: {} } };

function list(request) {
  const { tools } = read();
  const from = Number(request.params?.cursor ?? 0);
  const to = from + settings.page;
  return { tools: tools.slice(from, to), ...(to < tools.length ? { nextCursor: String(to) } : {}) };
}

function sessionServer() {
  const server = new SessionServer(INFO, CAPABILITIES);
  server.setRequestHandler(ListToolsRequestSchema, list);
  return server;
}

function currentServer() {
  const server = new McpServer(INFO, CAPABILITIES);
  server.server.setRequestHandler('tools/list', list);
  return server;
}

function http() {
  if (settings.era === 'current') return toNodeHandler(createMcpHandler(currentServer, { legacy: 'reject' }));
  return async (req, res) => {
    const transport = new StreamableHTTPServerTransport({ sessionIdGenerator: undefined });
    await sessionServer().connect(transport);
    await transport.handleRequest(req, res);
  };
}

function sse() {
  const open = new Map();
  return async (req, res) => {
    const url = new URL(req.url, 'http://host');
    if (req.method === 'GET' && url.pathname === '/sse') {
      const transport = new SSEServerTransport('/message', res);
      open.set(transport.sessionId, transport);
      await sessionServer().connect(transport);
    } else if (req.method === 'POST' && open.has(url.searchParams.get('sessionId'))) {
      await open.get(url.searchParams.get('sessionId')).handlePostMessage(req, res);
    } else {
      res.writeHead(404).end();
    }
  };
}

if (settings.transport === 'stdio') {
  process.stdin.on('end', () => process.exit(0));
  if (settings.era === 'current') serveStdio(currentServer);
  else await sessionServer().connect(new StdioServerTransport());
} else {
  const handle = { http, sse }[settings.transport]();
  const server = createServer(async (req, res) => {
    if (settings.authorization && req.headers.authorization !== settings.authorization) {
      res.writeHead(401).end();
      return;
    }
    await handle(req, res);
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const path = settings.transport === 'sse' ? '/sse' : '/mcp';
  const mcp = `http://127.0.0.1:${server.address().port}${path}`;
  process.stdout.write(`${JSON.stringify({ event: 'listening', mcp })}\n`);
}
