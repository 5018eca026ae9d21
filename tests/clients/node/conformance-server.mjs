// The server that the conformance suite is run against: both eras of MCP at one URL, on the official SDK 2.x alone, with
// the tools, prompts and resources that the suite asks for. Sessions (up to 2025-11-25) keep their events, so that a
// stream can be resumed; requests of 2026-07-28 are served without.
// First line on stdout: {"event":"listening","mcp":"http://127.0.0.1:PORT/mcp"}
import { randomBytes, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import {
  localhostHostValidation,
  localhostOriginValidation,
  NodeStreamableHTTPServerTransport,
  toNodeHandler,
  toWebRequest,
} from '@modelcontextprotocol/node';
import { createMcpHandler, createRequestStateCodec, isLegacyRequest, McpServer } from '@modelcontextprotocol/server';
import { addAsking } from './conformance/asking.mjs';
import { addReading } from './conformance/reading.mjs';
import { addTools } from './conformance/tools.mjs';

const INFO = { name: 'toolgate-conformance-fixture', version: '1.0.0' };
const RETRY_MS = 100;
const codec = createRequestStateCodec({ key: randomBytes(32) });
const sessions = new Map();

const world = {
  toolsChanged() {
    current.notify.toolsChanged();
    for (const { server } of sessions.values()) server.sendToolListChanged();
  },
  promptsChanged() {
    current.notify.promptsChanged();
    for (const { server } of sessions.values()) server.sendPromptListChanged();
  },
};

function build(era) {
  const capabilities = {
    tools: { listChanged: true },
    prompts: { listChanged: true },
    resources: { subscribe: true },
    logging: {},
    completions: {},
  };
  const server = new McpServer(INFO, { capabilities, requestState: { verify: codec.verify } });
  addTools(server, world);
  addReading(server, era);
  addAsking(server, era, codec);
  return server;
}

/** Events of one session, in the order in which they were sent. */
class Events {
  #kept = [];

  async storeEvent(stream, message) {
    this.#kept.push({ id: randomUUID(), stream, message });
    return this.#kept.at(-1).id;
  }

  async getStreamIdForEventId(id) {
    return this.#kept.find((event) => event.id === id)?.stream;
  }

  async replayEventsAfter(id, { send }) {
    const at = this.#kept.findIndex((event) => event.id === id);
    const stream = this.#kept[at]?.stream;
    for (const event of this.#kept.slice(at + 1)) {
      // an event without a message only marked that the stream had begun
      if (event.stream === stream && Object.keys(event.message).length > 0) {
        await send(event.id, event.message);
      }
    }
    return stream;
  }
}

async function openSession() {
  const server = build('legacy');
  const transport = new NodeStreamableHTTPServerTransport({
    sessionIdGenerator: randomUUID,
    eventStore: new Events(),
    retryInterval: RETRY_MS,
    onsessioninitialized: (id) => sessions.set(id, { server, transport }),
  });
  transport.onclose = () => sessions.delete(transport.sessionId);
  await server.connect(transport);
  return transport;
}

async function inSession(req, res, body) {
  const id = req.headers['mcp-session-id'];
  const known = sessions.get(id)?.transport;
  if (known) return known.handleRequest(req, res, body);
  if (!id && body?.method === 'initialize') return (await openSession()).handleRequest(req, res, body);
  const error = { code: id ? -32001 : -32000, message: id ? 'Session not found' : 'Mcp-Session-Id is required' };
  res.writeHead(id ? 404 : 400, { 'content-type': 'application/json' });
  return res.end(JSON.stringify({ jsonrpc: '2.0', id: null, error }));
}

const current = createMcpHandler(({ era }) => build(era), { legacy: 'reject' });
const currentNode = toNodeHandler(current);

async function bodyOf(req) {
  const parts = [];
  for await (const part of req) parts.push(part);
  return parts.length > 0 ? JSON.parse(Buffer.concat(parts).toString('utf8')) : undefined;
}

const isLocalHost = localhostHostValidation();
const isLocalOrigin = localhostOriginValidation();

const http = createServer(async (req, res) => {
  try {
    if (!isLocalHost(req, res) || !isLocalOrigin(req, res)) return;
    if (req.url !== '/mcp') return void res.writeHead(404).end();
    const body = await bodyOf(req);
    const legacy = req.method !== 'POST' || (await isLegacyRequest(await toWebRequest(req, body), body));
    await (legacy ? inSession(req, res, body) : currentNode(req, res, body));
  } catch (error) {
    if (!res.headersSent) res.writeHead(400, { 'content-type': 'text/plain' });
    res.end(`fixture: ${error.message}`);
  }
});
http.listen(0, '127.0.0.1');
await once(http, 'listening');
const mcp = `http://127.0.0.1:${http.address().port}/mcp`;
process.stdout.write(`${JSON.stringify({ event: 'listening', mcp })}\n`);
