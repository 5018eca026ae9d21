"""Takes spans over OTLP/HTTP in JSON, read strictly with OpenTelemetry's own protobuf definitions.

stdout: {"event": "listening", "otlp": URL}, then {"event": "span", …} for each span, or {"event": "refused", "why": …}.
"""

import base64
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from google.protobuf.json_format import Parse, ParseError
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

IDS = {"traceId": 16, "spanId": 8, "parentSpanId": 8}


def tell(line):
    print(json.dumps(line), flush=True)


def with_base64_ids(value):
    """OTLP writes ids in hexadecimal digits, where protobuf's JSON has base64."""
    if isinstance(value, list):
        return [with_base64_ids(item) for item in value]
    if not isinstance(value, dict):
        return value
    out = {}
    for key, item in value.items():
        if key in IDS:
            raw = bytes.fromhex(item)
            if len(raw) != IDS[key]:
                raise ParseError(f"{key} has {len(raw)} bytes")
            item = base64.b64encode(raw).decode()
        out[key] = with_base64_ids(item)
    return out


def told(resource, span):
    attributes = {entry.key: entry.value.string_value for entry in span.attributes}
    return {
        "event": "span",
        "service": {entry.key: entry.value.string_value for entry in resource.attributes}.get("service.name"),
        "name": span.name,
        "kind": span.kind,
        "trace": span.trace_id.hex(),
        "span": span.span_id.hex(),
        "parent": span.parent_span_id.hex(),
        "links": [[link.trace_id.hex(), link.span_id.hex()] for link in span.links],
        "attributes": attributes,
        "failed": span.status.code == 2,
        "took_ns": span.end_time_unix_nano - span.start_time_unix_nano,
        "start_ns": span.start_time_unix_nano,
    }


class Collector(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self):
        body = self.rfile.read(int(self.headers["content-length"]))
        status = 200
        try:
            if self.path != "/v1/traces" or self.headers["content-type"] != "application/json":
                raise ParseError(f"{self.path} {self.headers['content-type']}")
            request = Parse(json.dumps(with_base64_ids(json.loads(body))), ExportTraceServiceRequest())
            for resource in request.resource_spans:
                for scope in resource.scope_spans:
                    for span in scope.spans:
                        tell(told(resource.resource, span))
        except (ParseError, ValueError) as error:
            status = 400
            tell({"event": "refused", "why": str(error)})
        self.send_response(status)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, *_):
        pass


server = ThreadingHTTPServer(("127.0.0.1", 0), Collector)
tell({"event": "listening", "otlp": f"http://127.0.0.1:{server.server_address[1]}"})
server.serve_forever()
