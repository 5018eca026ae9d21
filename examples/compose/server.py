"""An example MCP server with two tools, on the standard library alone.

Streamable HTTP without sessions: each POST is answered with one JSON object. `start_run` counts how often it ran, so
that one can see that a refused call never arrived. It checks nobody's credentials: keep it where only the gate reaches.
"""

import argparse
import itertools
import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

REVISIONS = ("2025-11-25", "2025-06-18", "2025-03-26")
MAX_BODY = 1 << 20

TOOLS = [
    {
        "name": "start_run",
        "description": "Starts a run of a pipeline and returns its number.",
        "inputSchema": {
            "type": "object",
            "properties": {"pipeline": {"type": "string", "maxLength": 64}},
            "required": ["pipeline"],
            "additionalProperties": False,
        },
    },
    {
        "name": "list_runs",
        "description": "Lists the runs that were started, the newest last.",
        "inputSchema": {"type": "object", "additionalProperties": False},
    },
    {
        "name": "delete_runs",
        "description": "Deletes all runs. The example policy names it nowhere, so agents do not see it.",
        "inputSchema": {"type": "object", "additionalProperties": False},
    },
]


class Failure(Exception):
    def __init__(self, code, message):
        super().__init__(message)
        self.code = code


class Runs:
    def __init__(self):
        self._lock = threading.Lock()
        self._numbers = itertools.count(1)
        self._runs = []

    def start_run(self, arguments):
        pipeline = arguments.get("pipeline")
        if not isinstance(pipeline, str) or len(pipeline) > 64:
            raise Failure(-32602, "`pipeline` must be a string of at most 64 characters")
        with self._lock:
            number = next(self._numbers)
            self._runs = [*self._runs, f"run {number} of {pipeline}"][-100:]
        print(f"started run {number}", flush=True)
        return f"started run {number} of {pipeline}"

    def list_runs(self, _arguments):
        with self._lock:
            return "\n".join(self._runs) or "no runs yet"

    def delete_runs(self, _arguments):
        with self._lock:
            self._runs = []
        return "deleted all runs"


RUNS = Runs()


def initialize(params):
    wanted = params.get("protocolVersion")
    return {
        "protocolVersion": wanted if wanted in REVISIONS else REVISIONS[0],
        "capabilities": {"tools": {}},
        "serverInfo": {"name": "toolgate-compose-example", "version": "1"},
    }


def call(params):
    name, arguments = params.get("name"), params.get("arguments", {})
    if name not in [tool["name"] for tool in TOOLS]:
        raise Failure(-32602, f"Unknown tool: {name}")
    if not isinstance(arguments, dict):
        raise Failure(-32602, "`arguments` must be an object")
    return {"content": [{"type": "text", "text": getattr(RUNS, name)(arguments)}]}


METHODS = {
    "initialize": initialize,
    "ping": lambda _params: {},
    "tools/list": lambda _params: {"tools": TOOLS},
    "tools/call": call,
}


def answer(message):
    """The answer to one JSON-RPC message, or None where there is none."""
    if not isinstance(message, dict) or not isinstance(message.get("method"), str):
        return {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "not a JSON-RPC request"}}
    if "id" not in message:
        return None
    reply = {"jsonrpc": "2.0", "id": message["id"]}
    try:
        method = METHODS.get(message["method"])
        if method is None:
            raise Failure(-32601, "method not found")
        params = message.get("params", {})
        if not isinstance(params, dict):
            raise Failure(-32602, "`params` must be an object")
        return reply | {"result": method(params)}
    except Failure as failure:
        return reply | {"error": {"code": failure.code, "message": str(failure)}}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 60

    def do_POST(self):
        length = self.headers.get("Content-Length", "")
        if not length.isdecimal() or int(length) > MAX_BODY:
            self.close_connection = True
            return self.reply(413 if length.isdecimal() else 411)
        body = self.rfile.read(int(length))
        if self.path != "/mcp":
            return self.reply(404)
        try:
            message = json.loads(body)
        except ValueError:
            return self.reply(400)
        result = answer(message)
        self.reply(202 if result is None else 200, result)

    def do_GET(self):
        self.reply(405 if self.path == "/mcp" else 404)

    do_DELETE = do_GET

    def reply(self, status, message=None):
        body = b"" if message is None else json.dumps(message).encode()
        self.send_response(status)
        if body:
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_request(self, code="-", size="-"):
        """Runs are printed as they start; requests are not."""


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=3000)
    options = parser.parse_args()
    server = ThreadingHTTPServer((options.host, options.port), Handler)
    print("listening on http://%s:%s/mcp" % server.server_address[:2], flush=True)
    server.serve_forever()


if __name__ == "__main__":
    main()
