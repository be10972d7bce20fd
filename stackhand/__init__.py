"""What the verbs, the Ansible plugins and the tests of Stackhand share."""

from pathlib import Path

VERSION = "0.1.0"
ROOT = Path(__file__).resolve().parent.parent
"""The checkout: the folder that holds docker-compose.yml, .env and .stackhand."""
