// Tools that ask the client back: in the session era by a request of the server's own, in the revision 2026-07-28 by a
// result that says which input is required.
import { acceptedContent, inputRequired, inputResponse } from '@modelcontextprotocol/server';
import { z } from 'zod';
import { answer, said, text } from './content.mjs';

const CAPABILITIES = 'io.modelcontextprotocol/clientCapabilities';

const form = (properties, required) => ({ type: 'object', properties, ...(required ? { required } : {}) });
const elicit = (message, properties) =>
  inputRequired.elicit({ message, requestedSchema: form(properties, Object.keys(properties)) });
const sample = (question, maxTokens) =>
  inputRequired.createMessage({ messages: [{ role: 'user', content: text(question) }], maxTokens });

const DEFAULTS = form({
  name: { type: 'string', default: 'John Doe' },
  age: { type: 'integer', default: 30 },
  score: { type: 'number', default: 95.5 },
  status: { type: 'string', enum: ['active', 'inactive', 'pending'], default: 'active' },
  verified: { type: 'boolean', default: true },
});

const titled = (pairs) => pairs.map(([value, title]) => ({ const: value, title }));
const OPTIONS = ['option1', 'option2', 'option3'];
const ENUMS = form({
  untitledSingle: { type: 'string', enum: OPTIONS },
  titledSingle: {
    type: 'string',
    oneOf: titled([['value1', 'First Option'], ['value2', 'Second Option'], ['value3', 'Third Option']]),
  },
  legacyEnum: {
    type: 'string',
    enum: ['opt1', 'opt2', 'opt3'],
    enumNames: ['Option One', 'Option Two', 'Option Three'],
  },
  untitledMulti: { type: 'array', items: { type: 'string', enum: OPTIONS } },
  titledMulti: {
    type: 'array',
    items: { anyOf: titled([['value1', 'First Choice'], ['value2', 'Second Choice'], ['value3', 'Third Choice']]) },
  },
});

const outcome = ({ action, content }) => `action=${action}, content=${JSON.stringify(content ?? {})}`;

/**
 * Tools of the session era: the server asks while the call runs, on the stream of the call (`send`). What the SDK's
 * `requestSampling` and `elicitInput` send goes to the session's GET stream, and is lost where that is not open yet.
 */
function addSessionTools(server) {
  const ask = async (ctx, message, requestedSchema, begin) => {
    const params = { mode: 'form', message, requestedSchema };
    return answer(text(`${begin}: ${outcome(await ctx.mcpReq.send({ method: 'elicitation/create', params }))}`));
  };
  server.registerTool(
    'test_sampling',
    { description: 'Asks the client to sample.', inputSchema: z.object({ prompt: z.string() }) },
    async ({ prompt }, ctx) => {
      const params = { messages: [{ role: 'user', content: text(prompt) }], maxTokens: 100 };
      const { content } = await ctx.mcpReq.send({ method: 'sampling/createMessage', params });
      return answer(text(`LLM response: ${content.text}`));
    },
  );
  server.registerTool(
    'test_elicitation',
    { description: 'Asks the user.', inputSchema: z.object({ message: z.string() }) },
    ({ message }, ctx) => {
      const properties = {
        username: { type: 'string', description: "User's response" },
        email: { type: 'string', description: "User's email address" },
      };
      return ask(ctx, message, form(properties, ['username', 'email']), 'User response');
    },
  );
  server.registerTool('test_elicitation_sep1034_defaults', { description: 'Asks with defaults.' }, (ctx) =>
    ask(ctx, 'Review the defaults', DEFAULTS, 'Elicitation completed'),
  );
  server.registerTool('test_elicitation_sep1330_enums', { description: 'Asks with choices.' }, (ctx) =>
    ask(ctx, 'Choose', ENUMS, 'Elicitation completed'),
  );
}

const confirm = () => elicit('Please confirm', { ok: { type: 'boolean' } });
const named = () => elicit('What is your name?', { name: { type: 'string' } });

/** Tools of 2026-07-28 that need one round. */
function addOneRound(tool, codec) {
  // the SDK refuses by itself where the client did not declare what is asked for
  tool('test_missing_capability', () =>
    inputRequired({ inputRequests: { greeting: sample('Generate a greeting', 50) } }),
  );
  tool('test_input_required_result_elicitation', ({ inputResponses }) => {
    const name = acceptedContent(inputResponses, 'user_name')?.name;
    if (typeof name === 'string') return answer(text(`Hello, ${name}!`));
    return inputRequired({ inputRequests: { user_name: named() } });
  });
  tool('test_streaming_elicitation', () => inputRequired({ inputRequests: { user_name: named() } }));
  tool('test_input_required_result_sampling', ({ inputResponses }) => {
    const response = inputResponse(inputResponses, 'capital_question');
    if (response.kind === 'sampling') return answer(text(JSON.stringify(response.result.content)));
    return inputRequired({ inputRequests: { capital_question: sample('What is the capital of France?', 100) } });
  });
  tool('test_input_required_result_list_roots', ({ inputResponses }) => {
    const response = inputResponse(inputResponses, 'client_roots');
    if (response.kind === 'roots') return answer(text(response.roots.map((root) => root.uri).join(', ')));
    return inputRequired({ inputRequests: { client_roots: inputRequired.listRoots() } });
  });
  for (const name of ['test_input_required_result_request_state', 'test_input_required_result_tampered_state']) {
    tool(name, async (request, ctx) => {
      const state = request.requestState();
      if (state?.of === name && acceptedContent(request.inputResponses, 'confirm')) return answer(text('state-ok'));
      return inputRequired({
        inputRequests: { confirm: confirm() },
        requestState: await codec.mint({ of: name }, ctx),
      });
    });
  }
  tool('test_input_required_result_capabilities', ({ envelope }) => {
    const declared = envelope?.[CAPABILITIES] ?? {};
    const inputRequests = {};
    if (declared.elicitation) inputRequests.user_name = named();
    if (declared.sampling) inputRequests.greeting = sample('Generate a greeting', 50);
    if (Object.keys(inputRequests).length === 0) return answer(text('nothing can be asked'));
    return inputRequired({ inputRequests });
  });
}

/** Tools of 2026-07-28 that need several answers, or several rounds. */
function addMoreRounds(tool, codec) {
  tool('test_input_required_result_multiple_inputs', async ({ inputResponses, requestState }, ctx) => {
    const complete =
      requestState() &&
      acceptedContent(inputResponses, 'user_name') &&
      inputResponse(inputResponses, 'greeting').kind === 'sampling' &&
      inputResponse(inputResponses, 'client_roots').kind === 'roots';
    if (complete) return answer(text('all three were answered'));
    return inputRequired({
      inputRequests: {
        user_name: named(),
        greeting: sample('Generate a greeting', 50),
        client_roots: inputRequired.listRoots(),
      },
      requestState: await codec.mint({ of: 'multiple' }, ctx),
    });
  });
  tool('test_input_required_result_multi_round', async ({ inputResponses, requestState }, ctx) => {
    const name = acceptedContent(inputResponses, 'step1')?.name ?? requestState()?.name;
    const color = acceptedContent(inputResponses, 'step2')?.color;
    if (requestState()?.name && color) return answer(text(`${requestState().name} likes ${color}`));
    const step = name
      ? { step2: elicit('Step 2: What is your favorite color?', { color: { type: 'string' } }) }
      : { step1: elicit('Step 1: What is your name?', { name: { type: 'string' } }) };
    return inputRequired({ inputRequests: step, requestState: await codec.mint({ name: name ?? null }, ctx) });
  });
}

function addPrompt(server) {
  const description = 'Needs to know a context.';
  server.registerPrompt('test_input_required_result_prompt', { description }, (ctx) => {
    const given = acceptedContent(ctx.mcpReq.inputResponses, 'user_context')?.context;
    if (typeof given === 'string') return said([text(`In the context of ${given}.`)]);
    const question = elicit('What context should the prompt use?', { context: { type: 'string' } });
    return inputRequired({ inputRequests: { user_context: question } });
  });
}

export function addAsking(server, era, codec) {
  if (era === 'legacy') return addSessionTools(server);
  const tool = (name, run) =>
    server.registerTool(name, { description: 'Needs input of the client.' }, (ctx) => run(ctx.mcpReq, ctx));
  addOneRound(tool, codec);
  addMoreRounds(tool, codec);
  return addPrompt(server);
}
