// A real client on `@modelcontextprotocol/client` 2.x: 2026-07-28 where the server has it, sessions elsewhere. See spec.mjs.
import { Client, ProtocolError, SSEClientTransport, StreamableHTTPClientTransport } from '@modelcontextprotocol/client';
import { StdioClientTransport } from '@modelcontextprotocol/client/stdio';
import { connect, Memory } from './oauth.mjs';
import { answers, CAPABILITIES, names, report, requestInit, runCalls, specification, stdioServer } from './spec.mjs';

const spec = specification();
await report('typescript 2', async () => {
  const Transport = spec.transport === 'sse' ? SSEClientTransport : StreamableHTTPClientTransport;
  const authProvider = spec.oauth ? new Memory() : undefined;
  if (authProvider) authProvider.whole = true;
  const open = () =>
    spec.command
      ? new StdioClientTransport(stdioServer(spec))
      : new Transport(new URL(spec.url), { requestInit: requestInit(spec), authProvider });
  // the transport of 2024-11-05 knows no other era
  const options = spec.transport === 'sse' || spec.era === 'legacy' ? {} : { versionNegotiation: { mode: 'auto' } };
  if (spec.asked) options.capabilities = CAPABILITIES;
  if (spec.urls) options.capabilities = { elicitation: { url: {} } };
  const client = new Client({ name: 'toolgate-test', version: '1.0.0' }, options);
  const asked = [];
  if (spec.asked) {
    for (const [method, answer] of Object.entries(answers(asked))) client.setRequestHandler(method, answer);
  }
  if (spec.urls) {
    client.setRequestHandler('elicitation/create', ({ params }) => {
      asked.push(params.url);
      return { action: 'accept' };
    });
  }
  const transport = await connect(client, open, authProvider);
  const tools = spec.list ? await names((params) => client.listTools(params)) : null;
  const calls = await runCalls(
    spec,
    (name, args, options) => client.callTool({ name, arguments: args }, { timeout: spec.callTimeoutMs, ...options }),
    (error) => error instanceof ProtocolError,
  );
  const session = transport.sessionId ?? null;
  const protocolVersion = client.getNegotiatedProtocolVersion?.() ?? transport.protocolVersion ?? null;
  if (session) await transport.terminateSession();
  await client.close();
  return { protocolVersion, session, tools, asked, calls };
});
