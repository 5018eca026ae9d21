// A real client on `@modelcontextprotocol/sdk` 1.x (sessions). See spec.mjs.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { SSEClientTransport } from '@modelcontextprotocol/sdk/client/sse.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import { StreamableHTTPClientTransport } from '@modelcontextprotocol/sdk/client/streamableHttp.js';
import { CreateMessageRequestSchema, ElicitRequestSchema, McpError } from '@modelcontextprotocol/sdk/types.js';
import { connect, Memory } from './oauth.mjs';
import { answers, CAPABILITIES, names, report, requestInit, runCalls, specification, stdioServer } from './spec.mjs';

const spec = specification();
await report('typescript 1', async () => {
  const Transport = spec.transport === 'sse' ? SSEClientTransport : StreamableHTTPClientTransport;
  const authProvider = spec.oauth ? new Memory() : undefined;
  const open = () =>
    spec.command
      ? new StdioClientTransport(stdioServer(spec))
      : new Transport(new URL(spec.url), { requestInit: requestInit(spec), authProvider });
  const capabilities = spec.asked ? CAPABILITIES : {};
  const client = new Client({ name: 'toolgate-test', version: '1.0.0' }, { capabilities });
  const asked = [];
  if (spec.asked) {
    const answer = answers(asked);
    client.setRequestHandler(CreateMessageRequestSchema, answer['sampling/createMessage']);
    client.setRequestHandler(ElicitRequestSchema, answer['elicitation/create']);
  }
  const transport = await connect(client, open, authProvider);
  const tools = spec.list ? await names((params) => client.listTools(params)) : null;
  const calls = await runCalls(
    spec,
    (name, args, options) =>
      client.callTool({ name, arguments: args }, undefined, { timeout: spec.callTimeoutMs, ...options }),
    (error) => error instanceof McpError,
  );
  const session = transport.sessionId ?? null;
  await transport.terminateSession?.();
  await client.close();
  return { protocolVersion: transport.protocolVersion ?? null, session, tools, asked, calls };
});
