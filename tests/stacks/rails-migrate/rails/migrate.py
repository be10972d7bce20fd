"""Say what a migration would do; it needs the database's address and its secret."""

import socket
from pathlib import Path

socket.create_connection(("db", 5432)).close()
assert Path("/run/secrets/db_password").read_text(encoding="utf-8").strip()
print("== 20240101 CreateOrders: migrated ==")
