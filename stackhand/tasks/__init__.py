"""The verbs, as collections of Invoke; each body is one call, and the work is done elsewhere.

`ns` is what a `tasks.py` of a project adds as a namespace: `ns.add_collection(stackhand.tasks, "stack")`.
"""

from __future__ import annotations

from invoke.collection import Collection

from stackhand.system.roots import DEVELOPING
from stackhand.tasks import adoption, bench, cache, cloud, db, development, environment, local, secrets

ns = Collection(
    local.up, local.down, local.status, local.logs, local.restart, local.shell, local.open, local.doctor, local.support
)
for module in (db, cache, cloud, secrets):
    ns.add_collection(Collection.from_module(module))
ns.add_task(environment.bootstrap)
ns.add_task(environment.plan)
ns.add_task(environment.destroy)
ns.add_task(environment.deploy)
ns.add_task(environment.rollback)
ns.add_task(environment.rehearse)
for each in (adoption.init, adoption.upgrade, adoption.eject, adoption.remove):
    ns.add_task(each)
if DEVELOPING:
    for each in (development.test, development.check, development.lock):
        ns.add_task(each)
    ns.add_collection(Collection.from_module(bench))
else:
    ns.add_task(local.test_project, "test")
    ns.add_task(environment.check_project, "check")
