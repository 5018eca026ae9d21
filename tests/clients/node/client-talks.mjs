// A client on `@modelcontextprotocol/sdk` 1.x over stdio that is asked back while its calls run: it answers sampling,
// elicitation and roots, counts progress, and cancels. Specification: {"command": [words], "env": {}}.
// The server is server-everything. Answers one line of JSON.
import { Client } from '@modelcontextprotocol/sdk/client/index.js';
import { StdioClientTransport } from '@modelcontextprotocol/sdk/client/stdio.js';
import {
  CreateMessageRequestSchema,
  ElicitRequestSchema,
  ListRootsRequestSchema,
} from '@modelcontextprotocol/sdk/types.js';
import { report, specification, stdioServer } from './spec.mjs';

const spec = specification();
await report('typescript 1, asked back', async () => {
  const capabilities = { sampling: {}, elicitation: {}, roots: { listChanged: true } };
  const client = new Client({ name: 'toolgate-test', version: '1.0.0' }, { capabilities });
  const asked = [];
  const answering = (schema, name, answer) =>
    client.setRequestHandler(schema, async () => {
      asked.push(name);
      return answer;
    });
  const said = { type: 'text', text: 'sampled words' };
  answering(CreateMessageRequestSchema, 'sampling', { model: 'm', role: 'assistant', content: said });
  answering(ElicitRequestSchema, 'elicitation', { action: 'decline' });
  answering(ListRootsRequestSchema, 'roots', { roots: [{ uri: 'file:///tmp/a-root', name: 'a root' }] });
  await client.connect(new StdioClientTransport(stdioServer(spec)));
  const { tools } = await client.listTools();
  const texts = {};
  const call = async (name, args, options) => {
    const result = await client.callTool({ name, arguments: args }, undefined, options);
    texts[name] = result.content.map((part) => part.text ?? '').join('\n');
  };
  await call('trigger-sampling-request', { prompt: 'hi' });
  await call('trigger-elicitation-request', {});
  await call('get-roots-list', {});
  let progress = 0;
  await call('trigger-long-running-operation', { duration: 0.3, steps: 3 }, { onprogress: () => progress++ });
  const abort = new AbortController();
  let cancelled = null;
  try {
    const options = { signal: abort.signal, onprogress: () => abort.abort('enough') };
    await client.callTool({ name: 'trigger-long-running-operation', arguments: { duration: 60, steps: 600 } }, undefined, options);
  } catch (error) {
    cancelled = String(error.message ?? error);
  }
  await call('echo', { message: 'after' });
  await client.close();
  return { tools: tools.map((tool) => tool.name), asked, texts, progress, cancelled };
});
