"""TLS and passwords in a rehearsal, as RDS and ElastiCache demand them: what connects otherwise fails here already.

ministack has a certificate for each database and cache, of authorities of its own. Tasks get these beside the
authorities of this machine, where the libraries of most languages look for them.
"""

from __future__ import annotations

import ipaddress
import os
import ssl
import tempfile
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

from ministack.services import elasticache, rds

BUNDLE = Path(tempfile.gettempdir()) / f"authorities-{os.environ['GATEWAY_PORT']}.pem"
THERE = "/etc/rehearsal-authorities.pem"
VARIABLES = dict.fromkeys(("SSL_CERT_FILE", "NODE_EXTRA_CA_CERTS"), THERE)
"""Where OpenSSL and Go look, and Node.js; the Java virtual machine has a file of its own."""
ADDRESSES = 254
"""Of the network's first ones, which docker gives in turn: a certificate is made before, and so names them all."""
ONLY_ENCRYPTED = (
    r"""sed -i 's/^host\(\s\+all\s\+all\s\+all\s\)/hostssl\1/' "$PGDATA/pg_hba.conf" """
    '&& psql -qU "$POSTGRES_USER" -d postgres -c "ALTER SYSTEM SET log_connections = on"'
    " -c \"ALTER SYSTEM SET log_line_prefix = '%h '\" -c 'SELECT pg_reload_conf()'"
)
_lock = threading.Lock()
_run: Callable[..., Any] = rds._run_rds_container


def mount() -> dict[str, dict[str, str]]:
    """Return what a task gets of the authorities, as docker takes it."""
    with _lock:
        if not BUNDLE.exists():
            known = ssl.get_default_verify_paths().cafile
            ours = Path(known).read_text(encoding="utf-8") if known and Path(known).is_file() else ""
            BUNDLE.write_text("\n".join([ours, rds.pg_ca_cert_pem(), elasticache._ensure_serverless_ca()[0]]))
    return {str(BUNDLE): {"bind": THERE, "mode": "ro"}}


def run_database(client: Any, engine: str, arguments: dict[str, Any], tls_names: Any = (), tls_ips: Any = ()) -> Any:
    """Start a database whose certificate names each address that it may get."""
    subnets = client.networks.get(os.environ["DOCKER_NETWORK"]).attrs["IPAM"]["Config"]
    network = ipaddress.ip_network(subnets[0]["Subnet"])
    first = int(network.network_address) + 1
    addresses = [str(ipaddress.ip_address(first + number)) for number in range(ADDRESSES)]
    return _run(client, engine, arguments, tls_names, (*tls_ips, *addresses))


def demand(container: Any) -> None:
    """Have a database refuse who does not encrypt, and log who connects.

    Raises:
        RuntimeError: it cannot be told so.
    """
    code, output = container.exec_run(["sh", "-c", ONLY_ENCRYPTED], user="postgres")
    if code != 0:
        raise RuntimeError(f"the database cannot be made to demand TLS: {output.decode(errors='replace')}")
