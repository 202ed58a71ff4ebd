"""An AWS that refuses every call and notes when each came, for benches of the start."""

import http.server
import json
import threading
import time
from contextlib import contextmanager


@contextmanager
def refusing_aws():
    """Give its address, and the list of the moments (perf_counter) at which calls came."""
    arrived = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self):
            arrived.append(time.perf_counter())
            self.rfile.read(int(self.headers["Content-Length"]))
            body = json.dumps({"__type": "AccessDeniedException", "message": "no"}).encode()
            self.send_response(400)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}", arrived
        server.shutdown()
