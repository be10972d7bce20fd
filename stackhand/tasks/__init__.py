"""The verbs, as collections of Invoke; each body is one call, and the work is done elsewhere.

`ns` is what a `tasks.py` of a project adds as a namespace: `ns.add_collection(stackhand.tasks, "stack")`.
"""

from __future__ import annotations

from stackhand.tasks.verb import Verb  # before whatever else imports Invoke

# isort: split
from invoke.collection import Collection

from stackhand.system.roots import DEVELOPING
from stackhand.tasks import cloud, db, development, environment, local


def _namespace(name: str, about: str, *verbs: Verb) -> Collection:
    collection = Collection(name, *verbs)
    collection.__doc__ = about
    return collection


ns = Collection(
    *(local.up, local.down, local.status, local.logs, local.restart, local.run, local.shell, local.open, local.doctor),
    *(local.support, environment.bootstrap, environment.plan, environment.destroy, environment.deploy),
    *(environment.rollback, environment.rehearse),
    *(local.init, local.upgrade, local.eject, local.remove),
    _namespace(
        "db",
        "The verbs on the database.",
        *(db.migrate, db.status, db.plan, db.shell, db.snapshot, db.restore, db.reset, db.seed, db.note),
    ),
    _namespace("cache", "The verbs on the cache.", db.cache_shell),
    _namespace(
        "cloud",
        "The verbs on what runs in an environment.",
        *(cloud.status, cloud.logs, cloud.execute, cloud.releases, cloud.unlock, cloud.snapshots, cloud.snapshot),
    ),
    _namespace(
        "secrets",
        "The verbs on the secrets that you give an environment.",
        *(cloud.set_secret, cloud.list_secrets, cloud.unset_secret),
    ),
)
if DEVELOPING:
    for each in (development.test, development.check, development.lock):
        ns.add_task(each)
    measurements = map(development.measurement, development.MEASUREMENTS)
    ns.add_collection(_namespace("bench", "The measurements.", *measurements))
else:
    for name, each in (("test", local.test_project), ("check", environment.check_project)):
        ns.add_task(each, name)
