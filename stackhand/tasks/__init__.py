"""The verbs, as collections of Invoke; each body is one call, and the work is done elsewhere.

`ns` is what a `tasks.py` of a project adds as a namespace: `ns.add_collection(stackhand.tasks, "stack")`.
"""

from __future__ import annotations

from stackhand.tasks import lean_invoke  # noqa: F401 - before whatever imports Invoke

# isort: split
from invoke.collection import Collection

from stackhand.system.roots import DEVELOPING
from stackhand.tasks import adoption, bench, cache, cloud, db, development, environment, local, secrets

ns = Collection(
    *(local.up, local.down, local.status, local.logs, local.restart, local.run, local.shell, local.open, local.doctor),
    *(local.support, environment.bootstrap, environment.plan, environment.destroy, environment.deploy),
    *(environment.rollback, environment.rehearse),
    *(adoption.init, adoption.upgrade, adoption.eject, adoption.remove),
)
for module in (db, cache, cloud, secrets):
    ns.add_collection(Collection.from_module(module))
if DEVELOPING:
    for each in (development.test, development.check, development.lock):
        ns.add_task(each)
    ns.add_collection(Collection.from_module(bench))
else:
    for name, each in (("test", local.test_project), ("check", environment.check_project)):
        ns.add_task(each, name)
