"""A stdio server without an SDK, for what a well-behaved one never does. Each tool is a way to behave.

Argument: a JSON object {"log": FILE, "keep": false}. Every line read goes to FILE as `line …`, every tool run as
`ran NAME`, signals as `signal NAME`, the end of stdin as `eof`. `keep`: end neither at the end of stdin nor at SIGTERM.
It reads lines as Python text streams do: a bare CR ends one.
"""

import json
import os
import signal
import sys
import threading
import time

settings = {"keep": False, **json.loads(sys.argv[1])}
log_file = open(settings["log"], "a", encoding="utf-8", buffering=1)
lock = threading.Lock()
asked = {}
TOOLS = ["echo", "die", "env", "hidden", "secret-show", "start_run"]


def log(text):
    with lock:
        log_file.write(text + "\n")


def say(message):
    say_raw(json.dumps(message))


def say_raw(line):
    with lock:
        sys.stdout.write(line + "\n")
        sys.stdout.flush()


def text(id, value):
    say({"jsonrpc": "2.0", "id": id, "result": {"content": [{"type": "text", "text": value}]}})


def listed(id, names=TOOLS):
    return {"jsonrpc": "2.0", "id": id, "result": {"tools": [{"name": name} for name in names]}}


def descriptors():
    found = {}
    for name in os.listdir("/proc/self/fd"):
        try:
            found[name] = os.readlink(f"/proc/self/fd/{name}")
        except OSError:
            pass  # the listing's own
    return found


def call(id, name, arguments, meta):
    log(f"ran {name}")
    match name:
        case "die":
            log_file.flush()
            os._exit(arguments.get("status", 7))
        case "env":
            text(id, json.dumps({"env": dict(os.environ), "fds": descriptors()}))
        case "long":
            # the id stands behind the long part
            padding = "x" * arguments["bytes"]
            say_raw('{"result":{"content":[],"id":99,"x":"%s"},"jsonrpc":"2.0","id":%s}' % (padding, json.dumps(id)))
        case "chatter":
            say_raw("this is no JSON, and secret-show is a tool")
            say_raw("")
            say_raw('{"jsonrpc":"2.0","id":%s,"result":{"content":[{"type":"text",\r"text":"split"}]}}\r' % json.dumps(id))
        case "broken":
            say_raw('{"jsonrpc":"2.0","id":%s,"result":{"tools":{},"tools":[]}}' % json.dumps(id))
        case "leak":
            # lists that nobody asked for by that name: under an id of its own, as a batch, before the answer
            say(listed("never asked"))
            say([listed("a batch"), {"jsonrpc": "2.0", "method": "notifications/x"}])
            text(id, "leaked")
        case "ask":
            asked["question"] = id
            say({"jsonrpc": "2.0", "id": "question", "method": "sampling/createMessage", "params": {}})
        case "stall":
            say({"jsonrpc": "2.0", "method": "notifications/stalled"})
            time.sleep(3600)
        case "never":
            pass
        case "later":
            threading.Timer(arguments["ms"] / 1000, text, (id, arguments.get("say", "later"))).start()
        case "progress":
            token = {"progressToken": meta.get("progressToken"), "progress": arguments["progress"]}
            say({"jsonrpc": "2.0", "method": "notifications/progress", "params": token})
            text(id, "progress ran")
        case "news":
            say({"jsonrpc": "2.0", "method": "notifications/resources/updated", "params": {"uri": arguments["uri"]}})
            text(id, "news ran")
        case "noise":
            print("\x1b[31mred\x1b[0m " + "y" * arguments["bytes"], file=sys.stderr, flush=True)
            text(id, "noise ran")
        case _:
            text(id, f"{name} ran")


def handle(message):
    id, method = message.get("id"), message.get("method")
    if method == "tools/call":
        params = message.get("params") or {}
        call(id, params.get("name"), params.get("arguments") or {}, params.get("_meta") or {})
    elif method == "tools/list":
        say(listed(id))
    elif method == "subscriptions/listen":
        agreed = {"_meta": {"io.modelcontextprotocol/subscriptionId": id}, "notifications": message["params"]["notifications"]}
        say({"jsonrpc": "2.0", "method": "notifications/subscriptions/acknowledged", "params": agreed})
    elif method is None and id in asked:
        text(asked.pop(id), f"the client said {json.dumps(message.get('result'))}")
    elif id is not None and method is not None:
        say({"jsonrpc": "2.0", "id": id, "result": {}})


def on_signals(expected):
    """Takes signals in a thread: a handler would wait while the main thread reads."""
    while True:
        number = signal.sigwait(expected)
        log(f"signal {signal.Signals(number).name}")
        if not (settings["keep"] and number == signal.SIGTERM):
            os._exit(40 + number)


expected_signals = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP}
signal.pthread_sigmask(signal.SIG_BLOCK, expected_signals)
threading.Thread(target=on_signals, args=[expected_signals], daemon=True).start()
print("raw server: started", file=sys.stderr, flush=True)
log(f"started {os.getpid()}")
for line in sys.stdin:
    if not line.strip():
        continue
    log("line " + line.strip()[:200])
    try:
        messages = json.loads(line)
    except ValueError:
        continue
    for message in messages if isinstance(messages, list) else [messages]:
        handle(message)
log("eof")
while settings["keep"]:
    time.sleep(1)
