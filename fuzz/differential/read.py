"""Reads batches of bodies as Python servers do, and answers what it read.

In: 4 bytes (little endian) for the length of the batch, then for each body 4 bytes for its length and the body.
Out: 4 bytes for the length, then a JSON list with one `[method, name, arguments]` for each body; each is `[value]`, or `[]`
where the member is not there. `json` and `pydantic_core` (which the MCP SDK uses) must read alike.
"""

import json
import struct
import sys

from pydantic_core import from_json

IN, OUT = sys.stdin.buffer, sys.stdout.buffer


def frame():
    head = IN.read(4)
    return IN.read(struct.unpack("<I", head)[0]) if len(head) == 4 else None


def member(of, key):
    return [of[key]] if type(of) is dict and key in of else []


def reading(body):
    try:
        message = json.loads(body)
        if from_json(body) != message:
            return "json and pydantic_core differ"
    except (ValueError, RecursionError) as error:
        return f"{type(error).__name__}: {error}"
    params = message.get("params") if type(message) is dict else None
    return [member(message, "method"), member(params, "name"), member(params, "arguments")]


while (batch := frame()) is not None:
    readings, at = [], 0
    while at < len(batch):
        (length,) = struct.unpack_from("<I", batch, at)
        at += 4 + length
        readings.append(reading(batch[at - length : at]))
    answer = json.dumps(readings).encode()
    OUT.write(struct.pack("<I", len(answer)) + answer)
    OUT.flush()
