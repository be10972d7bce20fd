"""What the verbs, the Ansible plugins and the tests of Stackhand share."""

VERSION = "0.1.0"
