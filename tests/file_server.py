"""A web server on this machine that serves bytes and misbehaves as a script says."""

import contextlib
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class FileServer:
    """Serves `files`, {path: bytes}; each GET takes one entry of `script`, if there is any.

    Entries are dictionaries with any of: `status` (an error to answer), `stop_after` (bytes to send
    before the connection ends), `hang` (true: it does not end, nothing comes), `whole` (true:
    Range is ignored), `headers` (to add or, if None, to leave out), `body` (to send instead).
    `asked` lists (method, path, Range, If-Range) of all requests.
    """

    def __init__(self, files):
        self.files, self.script, self.asked = files, [], []
        self.tag, self.date, self.knows_head = '"first"', None, True
        self.closing = threading.Event()

    def gets(self):
        """The Range headers of all GET requests, None where there was none."""
        return [span for method, _, span, _ in self.asked if method == "GET"]


@contextlib.contextmanager
def serving(files):
    """Run a `FileServer` in a thread; `url` is its address."""
    state = FileServer(files)
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("Handler", (_Handler,), {"state": state}))
    state.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield state
    finally:
        state.closing.set()
        server.shutdown()
        thread.join()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_HEAD(self):
        self._note()
        if not self.state.knows_head:
            self.send_error(501)
        elif self.path not in self.state.files:
            self.send_error(404)
        else:
            self._answer(200, self.state.files[self.path], {})

    def do_GET(self):
        self._note()
        step = self.state.script.pop(0) if self.state.script else {}
        if step.get("status") or self.path not in self.state.files:
            self.send_error(step.get("status", 404))
            return
        data = step.get("body", self.state.files[self.path])
        first = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
        version = self.headers.get("If-Range")
        same = version in (None, self.state.tag, self.state.date)
        status, headers = 200, {}
        if first and same and not step.get("whole"):
            start = int(first[1])
            if start >= len(data):
                self.send_error(416)
                return
            headers["Content-Range"] = f"bytes {start}-{len(data) - 1}/{len(data)}"
            status, data = 206, data[start:]
        self._answer(status, data, headers | step.get("headers", {}))
        with contextlib.suppress(ConnectionError):  # whoever asked may have seen enough
            self.wfile.write(data[: step.get("stop_after")])
            if step.get("hang"):
                self.state.closing.wait()

    def _answer(self, status, data, headers):
        self.send_response(status)
        known = {"Content-Length": len(data), "ETag": self.state.tag}
        known |= {"Last-Modified": self.state.date, "Content-Type": "application/zip"} | headers
        for name, value in known.items():
            if value is not None:
                self.send_header(name, value)
        self.end_headers()

    def _note(self):
        found = (self.headers.get(name) for name in ("Range", "If-Range"))
        self.state.asked.append((self.command, self.path, *found))

    def log_message(self, *arguments):
        """Say nothing."""
