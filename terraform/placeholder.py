"""Answers every path until the first release is deployed; Terraform puts the service's port in the place of 4000."""

import http.server


class Placeholder(http.server.BaseHTTPRequestHandler):
    """Says that there is nothing yet."""

    def do_GET(self):
        """Answer."""
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"nothing is deployed yet\n")

    def log_message(self, *_):
        """Say nothing."""


http.server.ThreadingHTTPServer(("", 4000), Placeholder).serve_forever()
