// What the two node clients share: the specification they are driven by and the one line of JSON they answer.
// Specification (first argument): {"url", "transport"?: "sse" (that of 2024-11-05), "token"?,
//   or "command": [words], "env": {} (stdio), "list": true, "callTimeoutMs": 20000,
//   "calls": [{"tool", "arguments": {}, "times": 1}]}
// Answer: {"client", "protocolVersion", "tools": [names], "calls": [{"tool", "kind", "text", "code"?, "meta"?}]}
// kind: ok | tool_error | protocol_error | transport_error

export function specification() {
  return { list: true, callTimeoutMs: 20_000, calls: [], ...JSON.parse(process.argv[2]) };
}

export function requestInit(spec) {
  return spec.token ? { headers: { authorization: `Bearer ${spec.token}` } } : {};
}

/** The server to start, where the client speaks stdio. */
export function stdioServer({ command: [command, ...args], env = {} }) {
  return { command, args, env, stderr: 'inherit' };
}

function outcome(result) {
  const text = (result.content ?? []).map((part) => part.text ?? '').join('\n');
  return { kind: result.isError ? 'tool_error' : 'ok', text, meta: result._meta ?? null };
}

/** Runs every call one after the other; `isProtocolError` tells a JSON-RPC error from a broken wire. */
export async function runCalls(spec, call, isProtocolError) {
  const calls = [];
  for (const { tool, arguments: args = {}, times = 1 } of spec.calls) {
    for (let count = 0; count < times; count++) {
      try {
        calls.push({ tool, ...outcome(await call(tool, args)) });
      } catch (error) {
        const kind = isProtocolError(error) ? 'protocol_error' : 'transport_error';
        calls.push({ tool, kind, text: error.message, code: error.code ?? null, data: error.data ?? null });
      }
    }
  }
  return calls;
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
