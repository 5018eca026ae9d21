// What the two node clients share: the specification they are driven by and the one line of JSON they answer.
// Specification (first argument): {"url", "transport"?: "sse" (that of 2024-11-05), "token"?,
//   "oauth"?: true (gets a token from where the server sends it, see oauth.mjs),
//   or "command": [words], "env": {} (stdio), "list": true, "callTimeoutMs": 20000,
//   "era": "auto" | "legacy" (a client of both eras keeps to sessions),
//   "asked": false (whether the client declares sampling and elicitation, and answers them),
//   "urls": false (2.x only: whether it declares elicitation by URL, and goes to each),
//   "calls": [{"tool", "arguments": {}, "times": 1, "watch"?: true (asks for progress), "abort"?: true (at the first progress)}]}
// Answer: {"client", "protocolVersion", "tools": [names], "asked": [methods],
//   "calls": [{"tool", "kind", "text", "code"?, "meta"?, "progress"?: [numbers]}]}
// kind: ok | tool_error | protocol_error | transport_error | aborted

export function specification() {
  return { list: true, callTimeoutMs: 20_000, asked: false, era: 'auto', calls: [], ...JSON.parse(process.argv[2]) };
}

export function requestInit(spec) {
  return spec.token ? { headers: { authorization: `Bearer ${spec.token}` } } : {};
}

/** What a client that may be asked declares and answers; `seen` gets the methods. */
export const CAPABILITIES = { sampling: {}, elicitation: {} };
export const answers = (seen) => ({
  'sampling/createMessage': () => {
    seen.push('sampling/createMessage');
    return { role: 'assistant', content: { type: 'text', text: 'sampled' }, model: 'test', stopReason: 'endTurn' };
  },
  'elicitation/create': ({ params }) => {
    seen.push('elicitation/create');
    const asked = Object.keys(params.requestedSchema.properties);
    return { action: 'accept', content: Object.fromEntries(asked.map((name) => [name, 'ada'])) };
  },
});

/** The server to start, where the client speaks stdio. */
export function stdioServer({ command: [command, ...args], env = {} }) {
  return { command, args, env, stderr: 'inherit' };
}

function outcome(result) {
  const text = (result.content ?? []).map((part) => part.text ?? '').join('\n');
  return { kind: result.isError ? 'tool_error' : 'ok', text, meta: result._meta ?? null };
}

/**
 * Runs every call one after the other: `call(tool, arguments, options)`, whose options ask for progress and can abort it.
 * `isProtocolError` tells a JSON-RPC error from a broken wire.
 */
export async function runCalls(spec, call, isProtocolError) {
  const calls = [];
  for (const wanted of spec.calls) {
    for (let count = 0; count < (wanted.times ?? 1); count++) {
      calls.push({ tool: wanted.tool, ...(await runCall(wanted, call, isProtocolError)) });
    }
  }
  return calls;
}

async function runCall({ tool, arguments: args = {}, watch, abort }, call, isProtocolError) {
  const progress = [];
  const control = new AbortController();
  const onprogress = (told) => {
    progress.push(told.progress);
    if (abort) control.abort();
  };
  const options = watch || abort ? { onprogress, signal: control.signal } : {};
  try {
    return { ...outcome(await call(tool, args, options)), progress };
  } catch (error) {
    if (control.signal.aborted) return { kind: 'aborted', text: error.message, progress };
    const kind = isProtocolError(error) ? 'protocol_error' : 'transport_error';
    return { kind, text: error.message, code: error.code ?? null, data: error.data ?? null };
  }
}

/** All pages of tools/list, as names. */
export async function names(listTools) {
  const found = [];
  let cursor;
  do {
    const page = await listTools(cursor ? { cursor } : {});
    found.push(...page.tools.map((tool) => tool.name));
    cursor = page.nextCursor;
  } while (cursor);
  return found;
}

/** Prints the answer, or the failure to connect, and ends the process. */
export async function report(client, work) {
  let answer;
  try {
    answer = { client, ...(await work()) };
  } catch (error) {
    answer = { client, failed: `${error.name}: ${error.message}`, status: error.code ?? error.status ?? null };
  }
  process.stdout.write(`${JSON.stringify(answer)}\n`, () => process.exit(answer.failed ? 1 : 0));
}
