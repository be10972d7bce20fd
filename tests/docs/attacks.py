"""Ways into a workflow: each is a change of ours, as a careless or a hostile commit would make it."""

from __future__ import annotations

CHECKOUT = "actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1"
FORKS = "github.event.pull_request.head.repo.full_name == github.repository"
CACHE = """      - uses: actions/cache@0057852bfaa89a56745cba8c7296529d2fc39830 # v4.3.0
        with: {path: .venv, key: venv}
"""
DOWNLOAD = """      - uses: actions/download-artifact@d3f86a106a0bac45b974a628896c90dbdf5c8093 # v4.3.0
        with: {name: built, path: .}
"""
INSTALL = "      - run: sh ./inv --install-cloud\n"
SAY = "      - run: echo "

# what it is called: (the file, what stands there, what is put in its place, who refuses it)
ATTACKS: dict[str, tuple[str, str, str, str]] = {
    "a stranger's code runs with our secrets": (
        "deploy.yml",
        "  pull_request:\n",
        "  pull_request_target:\n",
        "dangerous-triggers",
    ),
    "a run of a stranger's starts ours": (
        "deploy.yml",
        "  pull_request:\n",
        "  workflow_run: {workflows: [ci], types: [completed]}\n",
        "dangerous-triggers",
    ),
    "a comment starts a release": ("deploy.yml", "  pull_request:\n", "  issue_comment:\n", "dangerous-triggers"),
    "a pull request's title is a command": (
        "deploy.yml",
        INSTALL,
        f'{INSTALL}{SAY}"${{{{ github.event.pull_request.title }}}}"\n',
        "template-injection",
    ),
    "a branch's name is a command": (
        "ci.yml",
        "      - run: ./inv check\n",
        f'{SAY}"${{{{ github.head_ref }}}}"\n',
        "template-injection",
    ),
    "an input is a command": (
        "deploy.yml",
        'run: case "$ENVIRONMENT" in',
        'run: case "${{ inputs.environment }}" in',
        "injection",
    ),
    "an input is evaluated by Ansible": (
        "deploy.yml",
        'case "$ENVIRONMENT" in staging | production) ;; *) exit 2 ;; esac',
        "true",
        "ansible",
    ),
    "a title becomes a variable of all later steps": (
        "ci.yml",
        "      - run: ./inv check\n",
        '      - run: echo "T=$T" >>"$GITHUB_ENV"\n        env: {T: "${{ github.event.pull_request.title }}"}\n',
        "injection",
    ),
    "all jobs may write everything": (
        "ci.yml",
        "permissions:\n  contents: read\n",
        "permissions: write-all\n",
        "excessive-permissions",
    ),
    "nobody says what a job may": ("ci.yml", "permissions:\n  contents: read\n", "", "excessive-permissions"),
    "a release may write to the repository": (
        "deploy.yml",
        "      contents: read\n      id-token: write # for OIDC\n      attestations: write",
        "      contents: write\n      id-token: write # for OIDC\n      attestations: write",
        "permissions",
    ),
    "a job of the tests gets tokens for AWS": (
        "ci.yml",
        "  check:\n    runs-on",
        "  check:\n    permissions: {id-token: write}\n    runs-on",
        "permissions",
    ),
    "the token stays in .git/config": (
        "ci.yml",
        "          persist-credentials: false\n",
        "          clean: true\n",
        "artipacked",
    ),
    "an action by a tag, which moves": ("ci.yml", CHECKOUT, "actions/checkout@v7", "unpinned-uses"),
    "an action of somebody else": (
        "ci.yml",
        CHECKOUT,
        "evil/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1",
        "pins",
    ),
    "a container by a tag, which moves": (
        "ci.yml",
        "  check:\n    runs-on",
        "  check:\n    container: python:3.13\n    runs-on",
        "images",
    ),
    "a workflow of somebody else, with our secrets": (
        "deploy.yml",
        "jobs:\n",
        "jobs:\n  other:\n    uses: evil/shop/.github/workflows/deploy.yml@main\n    secrets: inherit\n",
        "unpinned-uses",
    ),
    "a release is built from a cache that a pull request filled": (
        "deploy.yml",
        INSTALL,
        f"{CACHE}{INSTALL}",
        "restored",
    ),
    "a release is built from an artifact of another run": ("deploy.yml", INSTALL, f"{DOWNLOAD}{INSTALL}", "restored"),
    "the whole checkout becomes an artifact": (
        "ci.yml",
        "          path: .stackhand/screenshots/\n",
        "          path: .\n",
        "artifacts",
    ),
    "a stranger's code runs on our own machine": (
        "ci.yml",
        "    runs-on: ubuntu-24.04\n",
        "    runs-on: self-hosted\n",
        "runners",
    ),
    "a fork's pull request asks AWS": ("deploy.yml", f" && {FORKS}", "", "forks"),
    "a branch releases by hand": ("deploy.yml", " && github.ref == 'refs/heads/main'", "", "branches"),
    "a push to any branch releases": ("deploy.yml", "  push:\n    branches: [main]\n", "  push:\n", "branches"),
    "a release skips its gate": (
        "deploy.yml",
        "    environment: production # waits here for its reviewers\n",
        "",
        "gate",
    ),
    "a package is published without its gate": (
        "release.yml",
        "    environment: release # waits here for its reviewers\n",
        "",
        "gate",
    ),
    "any tag publishes a package": ("release.yml", '    tags: ["v*"]\n', '    tags: ["*"]\n', "branches"),
    "a package is built by whatever the index has that day": (
        "release.yml",
        "uv build --require-hashes --build-constraints requirements-dev.lock",
        "uv build",
        "unpinned",
    ),
}
