// Prompts, resources and completions of the conformance fixture.
import { completable, ResourceTemplate } from '@modelcontextprotocol/server';
import { z } from 'zod';
import { image, PNG, resource, said, text } from './content.mjs';

function addResources(server) {
  server.registerResource(
    'static-text',
    'test://static-text',
    { description: 'A text that does not change.', mimeType: 'text/plain' },
    ({ href }) => ({
      contents: [{ uri: href, mimeType: 'text/plain', text: 'This is the content of the static text resource.' }],
    }),
  );
  server.registerResource(
    'static-binary',
    'test://static-binary',
    { description: 'An image that does not change.', mimeType: 'image/png' },
    ({ href }) => ({ contents: [{ uri: href, mimeType: 'image/png', blob: PNG }] }),
  );
  server.registerResource(
    'watched',
    'test://watched-resource',
    { description: 'A text that can be subscribed to.', mimeType: 'text/plain' },
    ({ href }) => ({ contents: [{ uri: href, mimeType: 'text/plain', text: 'Watched.' }] }),
  );
  server.registerResource(
    'template',
    new ResourceTemplate('test://template/{id}/data', { list: undefined }),
    { description: 'Data of one id.', mimeType: 'application/json' },
    ({ href }, { id }) => {
      const value = JSON.stringify({ id, templateTest: true, data: `Data for ID: ${id}` });
      return { contents: [{ uri: href, mimeType: 'application/json', text: value }] };
    },
  );
}

/** Subscriptions of the session era are requests; the current revision has one stream for them, which the SDK serves. */
function addSubscriptions(server) {
  const subscribed = new Set();
  server.server.setRequestHandler('resources/subscribe', ({ params }) => {
    subscribed.add(params.uri);
    return {};
  });
  server.server.setRequestHandler('resources/unsubscribe', ({ params }) => {
    subscribed.delete(params.uri);
    return {};
  });
}

function addPrompts(server) {
  server.registerPrompt('test_simple_prompt', { description: 'Says one sentence.' }, () =>
    said([text('This is a simple prompt for testing.')]),
  );
  const places = (begin) => ['paris', 'park', 'party'].filter((word) => word.startsWith(begin));
  const argsSchema = z.object({
    arg1: completable(z.string().describe('First test argument'), places),
    arg2: z.string().describe('Second test argument'),
  });
  server.registerPrompt(
    'test_prompt_with_arguments',
    { description: 'Says its arguments.', argsSchema },
    ({ arg1, arg2 }) => said([text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`)]),
  );
  server.registerPrompt(
    'test_prompt_with_embedded_resource',
    { description: 'Embeds a resource.', argsSchema: z.object({ resourceUri: z.string() }) },
    ({ resourceUri }) =>
      said([
        resource(resourceUri, 'text/plain', 'Embedded resource content for testing.'),
        text('Please process the embedded resource above.'),
      ]),
  );
  server.registerPrompt('test_prompt_with_image', { description: 'Shows an image.' }, () =>
    said([image(), text('Please analyze the image above.')]),
  );
}

export function addReading(server, era) {
  addResources(server);
  addPrompts(server);
  if (era === 'legacy') addSubscriptions(server);
}
