"""A proxy in front of the emulator that records every request."""

import http.client
import threading
import urllib.parse
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

# Headers that apply to a single connection.
HOP_BY_HOP = ("connection", "transfer-encoding", "content-length", "keep-alive")


@dataclass
class Call:
    method: str
    path: str
    headers: dict
    body: bytes

    def parts(self):
        """The parts of a multipart form by name."""
        boundary = self.headers["content-type"].split("boundary=")[1].strip('"')
        found = {}
        for part in self.body.split(b"--" + boundary.encode())[1:-1]:
            head, _, body = part.strip(b"\r\n").partition(b"\r\n\r\n")
            name = head.decode().split('name="')[1].split('"')[0]
            found[name] = body
        return found


class Recorder:
    """Serves on a free port of localhost until it is closed."""

    def __init__(self, url):
        self.calls = []
        self._host = urllib.parse.urlsplit(url).netloc
        recorder = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def log_message(self, *_):
                pass

            def answer(self):
                recorder.answer(self)

            do_GET = do_POST = do_PUT = do_DELETE = answer

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, daemon=True).start()
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def close(self):
        self._server.shutdown()
        self._server.server_close()

    def answer(self, handler):
        headers = {name.lower(): value for name, value in handler.headers.items()}
        body = read(handler, headers)
        call = Call(handler.command, handler.path, headers, body)
        self.calls.append(call)
        # The host header stays the proxy's, so that URLs in responses lead back to the proxy.
        passed = {n: v for n, v in headers.items() if n not in HOP_BY_HOP}
        upstream = http.client.HTTPConnection(self._host)
        upstream.request(call.method, call.path, body, passed)
        answer = upstream.getresponse()
        data = answer.read()
        handler.send_response(answer.status)
        for name, value in answer.getheaders():
            if name.lower() not in HOP_BY_HOP:
                handler.send_header(name, value)
        handler.send_header("content-length", str(len(data)))
        handler.end_headers()
        handler.wfile.write(data)
        upstream.close()


def read(handler, headers):
    if headers.get("transfer-encoding") != "chunked":
        return handler.rfile.read(int(headers.get("content-length", 0)))
    body = b""
    while size := int(handler.rfile.readline(), 16):
        body += handler.rfile.read(size)
        handler.rfile.readline()
    handler.rfile.readline()
    return body
