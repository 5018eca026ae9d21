// Tools that answer at once or stream notifications, the same in both eras.
import { fromJsonSchema } from '@modelcontextprotocol/server';
import { z } from 'zod';
import { answer, image, pause, resource, text, WAV } from './content.mjs';

const PAUSE_MS = 50;

/** Features of JSON Schema 2020-12 that a relay must not lose from a list of tools. */
const SCHEMA_2020_12 = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  type: 'object',
  $defs: {
    address: {
      $anchor: 'addressDef',
      type: 'object',
      properties: { street: { type: 'string' }, city: { type: 'string' } },
    },
  },
  properties: {
    name: { type: 'string' },
    address: { $ref: '#/$defs/address' },
    contactMethod: { type: 'string', enum: ['phone', 'email'] },
    phone: { type: 'string' },
    email: { type: 'string' },
  },
  allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
  if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
  then: { required: ['phone'] },
  else: { required: ['email'] },
  additionalProperties: false,
};

/** A parameter that clients of 2026-07-28 repeat in the header `Mcp-Param-Region`. */
const WITH_HEADER = {
  type: 'object',
  properties: { region: { type: 'string', 'x-mcp-header': 'Region' } },
  required: ['region'],
};

async function progress(ctx) {
  const progressToken = ctx.mcpReq._meta?.progressToken;
  for (const reached of [0, 50, 100]) {
    if (progressToken !== undefined) {
      await ctx.mcpReq.notify({
        method: 'notifications/progress',
        params: { progressToken, progress: reached, total: 100 },
      });
    }
    if (reached < 100) await pause(PAUSE_MS);
  }
  return answer(text('progress was reported'));
}

async function logging(ctx) {
  await ctx.mcpReq.log('info', 'Tool execution started');
  await pause(PAUSE_MS);
  await ctx.mcpReq.log('info', 'Tool processing data');
  await pause(PAUSE_MS);
  await ctx.mcpReq.log('info', 'Tool execution completed');
  return answer(text('three lines were logged'));
}

/** Closes its own event stream in the middle of the call; the answer is there for a client that resumes. */
async function reconnection(ctx) {
  await pause(PAUSE_MS);
  ctx.http?.closeSSE?.();
  await pause(2 * PAUSE_MS);
  return answer(text('the stream was closed and the call went on'));
}

export function addTools(server, world) {
  const plain = (name, description, run) => server.registerTool(name, { description }, run);
  plain('test_simple_text', 'Answers with text.', () => answer(text('This is a simple text response for testing.')));
  plain('test_image_content', 'Answers with an image.', () => answer(image()));
  plain('test_audio_content', 'Answers with audio.', () =>
    answer({ type: 'audio', data: WAV, mimeType: 'audio/wav' }),
  );
  plain('test_embedded_resource', 'Answers with a resource.', () =>
    answer(resource('test://embedded-resource', 'text/plain', 'This is an embedded resource content.')),
  );
  plain('test_multiple_content_types', 'Answers with text, an image and a resource.', () =>
    answer(
      text('Multiple content types test:'),
      image(),
      resource('test://mixed-content-resource', 'application/json', JSON.stringify({ test: 'data', value: 123 })),
    ),
  );
  plain('test_error_handling', 'Fails as a tool.', () => {
    throw new Error('This tool intentionally returns an error for testing');
  });
  plain('test_tool_with_progress', 'Reports progress 0, 50 and 100.', progress);
  plain('test_tool_with_logging', 'Logs three lines.', logging);
  plain('test_logging_tool', 'Logs three lines.', logging);
  plain('test_reconnection', 'Closes its stream in the middle of the call.', reconnection);
  plain('test_trigger_tool_change', 'Tells listeners that the tools changed.', () => {
    world.toolsChanged();
    return answer(text('told'));
  });
  plain('test_trigger_prompt_change', 'Tells listeners that the prompts changed.', () => {
    world.promptsChanged();
    return answer(text('told'));
  });
  server.registerTool(
    'json_schema_2020_12_tool',
    { description: 'Tool with JSON Schema 2020-12 features', inputSchema: fromJsonSchema(SCHEMA_2020_12) },
    () => answer(text('taken')),
  );
  server.registerTool(
    'test_param_header',
    { description: 'Takes a parameter that stands in a header too.', inputSchema: fromJsonSchema(WITH_HEADER) },
    ({ region }) => answer(text(`region ${region}`)),
  );
  server.registerTool(
    'test_echo',
    { description: 'Says what it was told.', inputSchema: z.object({ message: z.string() }) },
    ({ message }) => answer(text(message)),
  );
}
