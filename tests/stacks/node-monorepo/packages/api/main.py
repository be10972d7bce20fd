"""Answer with the length of the token, which is a secret."""

import http.server
import os
from pathlib import Path


class Handler(http.server.BaseHTTPRequestHandler):
    """Answers every request alike."""

    def do_GET(self) -> None:
        token = Path(os.environ["TOKEN_FILE"]).read_text(encoding="utf-8").strip()
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"a token of {len(token)} letters\n".encode())


http.server.ThreadingHTTPServer(("", int(os.environ["PORT"])), Handler).serve_forever()
