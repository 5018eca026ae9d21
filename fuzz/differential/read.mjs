// Reads batches of bodies as Node servers do, and answers what it read; in and out as in read.py.
import { readSync, writeSync } from "node:fs";

function readFully(length) {
  const bytes = Buffer.alloc(length);
  let at = 0;
  while (at < length) {
    const read = readSync(0, bytes, at, length - at);
    if (read === 0) return null;
    at += read;
  }
  return bytes;
}

function writeFully(bytes) {
  let at = 0;
  while (at < bytes.length) at += writeSync(1, bytes, at);
}

const member = (of, key) => (of?.[key] === undefined ? [] : [of[key]]);

function reading(body) {
  try {
    const message = JSON.parse(body.toString("utf8"));
    const params = message.params;
    return [member(message, "method"), member(params, "name"), member(params, "arguments")];
  } catch (error) {
    return String(error);
  }
}

for (let head = readFully(4); head !== null; head = readFully(4)) {
  const batch = readFully(head.readUInt32LE(0));
  const readings = [];
  for (let at = 0; at < batch.length; ) {
    const start = at + 4;
    at = start + batch.readUInt32LE(at);
    readings.push(reading(batch.subarray(start, at)));
  }
  const answer = Buffer.from(JSON.stringify(readings));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(answer.length);
  writeFully(Buffer.concat([length, answer]));
}
