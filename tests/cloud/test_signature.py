"""Who may write ECR and the bucket, and may not sign, has nothing released: each test is one of their attacks."""

from __future__ import annotations

import base64
import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from botocore.exceptions import ClientError
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from stackhand.cli.failure import ExitCode, Failure
from stackhand.infrastructure import signing_key
from stackhand.project import environments
from stackhand.project.environments import Environment
from stackhand.release import target
from stackhand.release.images import provenance, signature
from stackhand.release.images.signature import ANNOTATION, SignedImage
from stackhand.release.manifest import Manifest
from stackhand.release.stages import prepare, rollback, rollout
from tests.cloud.conftest import SERVICES, Cloud, _pushed
from tests.cloud.test_stages import refused, release, running

COMMIT, OTHER = "4f3a" * 10, "0b1c" * 10
KEY = ec.generate_private_key(ec.SECP256R1())


@pytest.fixture
def signed(held: Cloud, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Cloud:
    """An environment whose key is pinned, and whose images of a commit are signed, as a deploy leaves them."""
    monkeypatch.setattr(environments, "FOLDER", tmp_path)
    assert len(signing_key.make(held.environment)) == 2
    for image in images(held):
        withdraw(held, image)  # of an earlier test, for the registry is one
        signature.sign(held.environment, image)
    return held


def images(cloud: Cloud, commit: str = COMMIT) -> list[SignedImage]:
    return [*provenance.of_target(cloud.environment, target.parse(cloud.output), cloud.image(commit), commit)]


def withdraw(cloud: Cloud, image: SignedImage) -> None:
    ids = [{"imageTag": image.tag}, {"imageTag": image.own_tag}]
    cloud.environment.client("ecr").batch_delete_image(repositoryName=image.repository, imageIds=ids)


def stored(cloud: Cloud, image: SignedImage) -> str:
    """Return the manifest of an image's signature."""
    ids = [{"imageTag": image.tag}]
    found = cloud.environment.client("ecr").batch_get_image(repositoryName=image.repository, imageIds=ids)["images"]
    return str(found[0]["imageManifest"])


def put(cloud: Cloud, image: SignedImage, manifest: str) -> None:
    """Put a manifest in the place of an image's signature."""
    withdraw(cloud, image)
    word = {"imageManifestMediaType": signature.MANIFEST, "imageTag": image.tag}
    cloud.environment.client("ecr").put_image(repositoryName=image.repository, imageManifest=manifest, **word)


def by_another_key(payload: bytes) -> str:
    made = base64.b64encode(KEY.sign(payload, ec.ECDSA(hashes.SHA256()))).decode()
    layer = {
        "mediaType": signature.PAYLOAD,
        "size": 1,
        "digest": f"sha256:{'a' * 64}",
        "annotations": {ANNOTATION: made},
    }
    return json.dumps({"schemaVersion": 2, "mediaType": signature.MANIFEST, "config": {}, "layers": [layer]})


def push_another_with_a_forged_record(cloud: Cloud, web: SignedImage, api: SignedImage) -> None:
    layer = {"digest": f"sha256:{'6' * 64}", "size": 1, "mediaType": "layer"}
    content = json.dumps({"schemaVersion": 2, "mediaType": "docker", "layers": [layer]})
    digest = _pushed(
        cloud.environment, {"repositoryName": api.repository, "imageManifest": content, "imageTag": "evil"}
    )
    cloud.image(COMMIT)["api"] = digest
    entry = {"id": digest, "sbom": "", "by": "the test", "at": "2026-11-24T08:00:00Z"}
    record = {"commit": COMMIT, "images": {name: {**entry, "id": each} for name, each in cloud.image(COMMIT).items()}}
    cloud.context.store.write(f"releases/images/{COMMIT}.json", record)


def copy_the_signature_to_another_image(cloud: Cloud, web: SignedImage, api: SignedImage) -> None:
    manifest = stored(cloud, api)
    push_another_with_a_forged_record(cloud, web, api)
    put(cloud, images(cloud)[1], manifest)


def copy_the_signature_of_another_repository(cloud: Cloud, web: SignedImage, api: SignedImage) -> None:
    assert web.digest == api.digest
    put(cloud, api, stored(cloud, web))


def keep_the_signature_of_another_commit(cloud: Cloud, web: SignedImage, api: SignedImage) -> None:
    withdraw(cloud, api)
    signature.sign(cloud.environment, SignedImage("api", api.url, api.digest, OTHER))


def sign_with_another_key(cloud: Cloud, web: SignedImage, api: SignedImage) -> None:
    put(cloud, api, by_another_key(api.payload))


def move_the_alias_to_another_key(cloud: Cloud, web: SignedImage, api: SignedImage) -> None:
    kms = cloud.environment.client("kms")
    theirs = kms.create_key(KeyUsage="SIGN_VERIFY", KeySpec="ECC_NIST_P256")["KeyMetadata"]["KeyId"]
    kms.update_alias(AliasName=signing_key.alias(cloud.environment), TargetKeyId=theirs)
    withdraw(cloud, api)
    signature.sign(cloud.environment, api)


def remove_the_signature(cloud: Cloud, web: SignedImage, api: SignedImage) -> None:
    withdraw(cloud, api)


def put_what_is_no_signature(cloud: Cloud, web: SignedImage, api: SignedImage) -> None:
    assert signature._annotated('{"layers": [1]}') == signature._annotated("?") == [""]
    put(cloud, api, json.dumps({"schemaVersion": 2, "config": {}, "layers": [{"size": 1, "digest": "x"}]}))


UNSIGNED, WRONG = "has no signature", f"is {signature.WRONG}"
ATTACKS = [
    (push_another_with_a_forged_record, UNSIGNED),
    (copy_the_signature_to_another_image, WRONG),
    (copy_the_signature_of_another_repository, WRONG),
    (keep_the_signature_of_another_commit, WRONG),
    (sign_with_another_key, WRONG),
    (move_the_alias_to_another_key, WRONG),
    (remove_the_signature, UNSIGNED),
    (put_what_is_no_signature, WRONG),
]


def test_what_was_signed_passes_and_is_what_cosign_looks_for(signed: Cloud) -> None:
    assert signature.require(signed.environment, images(signed)) == []
    [image, _] = images(signed)
    manifest = json.loads(stored(signed, image))
    [layer] = manifest["layers"]
    payload = {
        "critical": {
            "identity": {"docker-reference": image.url},
            "image": {"docker-manifest-digest": image.digest},
            "type": "cosign container image signature",
        },
        "optional": {"commit": COMMIT},
    }
    assert (json.loads(image.payload), len(image.payload)) == (payload, layer["size"])
    assert image.tag == f"sha256-{image.digest[7:]}.sig"
    ids = [layer["digest"], manifest["config"]["digest"]]
    ecr, kms = signed.environment.client("ecr"), signed.environment.client("kms")
    assert not ecr.batch_check_layer_availability(repositoryName=image.repository, layerDigests=ids)["failures"]
    made = base64.b64decode(layer["annotations"]["dev.cosignproject.cosign/signature"])
    asked = {"Message": image.payload, "Signature": made, "SigningAlgorithm": "ECDSA_SHA_256"}
    assert kms.verify(KeyId="alias/" + f"{signed.environment.stack}-staging-signing", **asked)["SignatureValid"]


@pytest.mark.parametrize(("attack", "message"), ATTACKS, ids=lambda each: getattr(each, "__name__", ""))
def test_an_image_that_the_key_did_not_sign_is_refused(
    signed: Cloud, attack: Callable[[Cloud, SignedImage, SignedImage], None], message: str
) -> None:
    attack(signed, *images(signed))
    with pytest.raises(Failure, match=r"Images of 4f3a4f3a4f3a are not signed with the key in .*: api") as failure:
        signature.require(signed.environment, images(signed))
    assert failure.value.code is ExitCode.PREFLIGHT
    assert failure.value.evidence[0].endswith(message)
    assert "aws ecr batch-delete-image" in failure.value.next


def test_an_image_that_two_commits_have_is_signed_for_both(signed: Cloud) -> None:
    """What a commit does not change is often built to the very same image."""
    later = [SignedImage(each.service, each.url, each.digest, OTHER) for each in images(signed)]
    assert signature.check(signed.environment, later).wrong == later
    for each in later:
        signature.sign(signed.environment, each)
    assert signature.require(signed.environment, [*later, *images(signed)]) == []
    for each in later:
        withdraw(signed, each)


def released(cloud: Cloud) -> Manifest:
    """A release that was deployed, and that nothing runs any more."""
    context, where = cloud.context, target.parse(cloud.output)
    manifest = prepare.prepare(context, where, cloud.image(COMMIT), COMMIT, [])
    return manifest.but(verdict="deployed", target=cloud.output)


@pytest.mark.parametrize("attack", [remove_the_signature, sign_with_another_key])
def test_no_rollback_and_no_resumed_release_runs_what_is_not_signed(
    signed: Cloud, attack: Callable[[Cloud, SignedImage, SignedImage], None]
) -> None:
    good, before = released(signed), signed.world.updates()
    assert {part.previous for part in prepare.prepare_rollback(signed.context, good).services.values()}
    attack(signed, *images(signed))
    # The bucket may say what it likes of the image: ECS knows what the task definition runs.
    forged = good.but(
        services={name: prepare.ReleasedService(each.task_definition, "x") for name, each in good.services.items()}
    )
    for manifest in (good, forged):
        with pytest.raises(Failure, match="Images of 4f3a4f3a4f3a are not signed") as failure:
            prepare.prepare_rollback(signed.context, manifest)
    assert f"git checkout {COMMIT[:12]}" in failure.value.next
    missing = attack is remove_the_signature
    assert ("--allow-unsigned" in failure.value.next) is missing
    if missing:
        prepare.prepare_rollback(signed.context, good, unsigned=True)
        assert "api: its image has no signature" in signed.said
    else:
        with pytest.raises(Failure):
            prepare.prepare_rollback(signed.context, good, unsigned=True)
    with pytest.raises(Failure, match="Images of 4f3a4f3a4f3a are not signed") as failure:
        rollout.resume(signed.context, good.but(verdict="still_rolling"), None)
    assert failure.value.next == "./inv rollback -e staging"
    assert signed.world.updates() == before


Forgery = Callable[[Cloud, SignedImage], list[str]]
FOREIGN = f"registry.example/{SERVICES[1]}@sha256:{'7' * 64}"


def unsigned(cloud: Cloud, api: SignedImage) -> list[str]:
    withdraw(cloud, api)
    return [f"{api.url}@{api.digest}"]


def signed_by_another(cloud: Cloud, api: SignedImage) -> list[str]:
    put(cloud, api, by_another_key(api.payload))
    return [f"{api.url}@{api.digest}"]


def of_another_registry(cloud: Cloud, api: SignedImage) -> list[str]:
    return [FOREIGN]


def of_another_region(cloud: Cloud, api: SignedImage) -> list[str]:
    return [f"{api.url.replace('eu-central-1', 'us-east-1')}@{api.digest}"]


def of_another_service(cloud: Cloud, api: SignedImage) -> list[str]:
    return [f"{images(cloud)[0].url}@{images(cloud)[0].digest}"]


def beside_the_right_one(cloud: Cloud, api: SignedImage) -> list[str]:
    return [f"{api.url}@{api.digest}", FOREIGN]


def by_a_tag(cloud: Cloud, api: SignedImage) -> list[str]:
    return [f"{api.url}:{COMMIT}"]


FORGERIES = {
    unsigned: "has no signature",
    signed_by_another: f"is {signature.WRONG}",
    of_another_registry: "is not from",
    of_another_region: "is not from",
    of_another_service: "is not from",
    beside_the_right_one: "is not from",
    by_a_tag: "is not from",
}


def forged(cloud: Cloud, good: Manifest, forgery: Forgery) -> Manifest:
    """Register a task definition, and say in the bucket that the last good release ran it."""
    definition = cloud.output["services"]["api"]["task_definition"]
    [container], wanted = definition["containerDefinitions"], forgery(cloud, images(cloud)[1])
    containers = [{**container, "name": f"c{number}", "image": image} for number, image in enumerate(wanted)]
    answer = cloud.world.register_task_definition({**definition, "containerDefinitions": containers})
    part = prepare.ReleasedService(answer["taskDefinition"]["taskDefinitionArn"], f"{images(cloud)[1].url}@x")
    found = good.but(services={**good.services, "api": part}, target=no_repository(good))
    cloud.context.store.write("current.json", found)
    return found


def no_repository(good: Manifest) -> dict[str, Any]:
    """Return the target of a release that says its api is built by somebody else."""
    found = copy.deepcopy(good.target)
    found["services"]["api"]["repository"] = None
    return found


def ordered(cloud: Cloud) -> set[str]:
    return {words["taskDefinition"] for name, words in cloud.world.calls if name == "UpdateService"}


def test_a_forged_last_good_release_is_run_by_no_rollback(signed: Cloud) -> None:
    good = release(signed, COMMIT)
    failing = good.but(id=f"{good.id}x", commit=OTHER)
    for forgery, message in FORGERIES.items():
        found = forged(signed, good, forgery)
        with pytest.raises(Failure, match="are not signed") as failure:
            prepare.prepare_rollback(signed.context, found, unsigned=forgery is not unsigned)
        assert any(message in line for line in failure.value.evidence), forgery
        planned = rollback.plan(signed.context, failing, found)
        assert [message in line for line in planned.problems] == [True], forgery
        withdraw(signed, images(signed)[1])
        signature.sign(signed.environment, images(signed)[1])
    before = signed.world.updates()
    said = refused(signed, "broken", healthy=False)
    assert (said.code, signed.world.updates()) == (ExitCode.DEPLOY_FAILED, before + len(SERVICES))
    assert "; no rollback: api: its image " in said.what
    assert not ordered(signed) & {found.services["api"].task_definition}


def test_what_ran_before_a_failed_release_returns_without_a_signature_unless_only_the_bucket_says_so(
    signed: Cloud,
) -> None:
    """Images from before the key, and what runs until the first release, have none; ECS knows what it ran."""
    release(signed, COMMIT)
    for each in images(signed):
        withdraw(signed, each)
    assert refused(signed, "broken", healthy=False).code == ExitCode.ROLLED_BACK
    assert running(signed) == {COMMIT}
    signed.context.resumes = True
    before = signed.world.updates()
    said = refused(signed, "worse", healthy=False)
    assert "no rollback: " in said.what
    assert "has no signature" in said.what
    assert signed.world.updates() == before + len(SERVICES)


def test_a_release_that_is_rolled_back_to_is_verified_where_it_runs_already(signed: Cloud) -> None:
    good = release(signed, COMMIT)
    put(signed, images(signed)[1], by_another_key(images(signed)[1].payload))
    with pytest.raises(Failure, match=r"are not signed with the key in .*: api"):
        prepare.prepare_rollback(signed.context, good)


AWS = "x-aws: {port: 1, cpu: 256, memory: 512, scale: {min: 1, max: 1, cpu: 50, memory: 50}}"


def test_an_image_of_somebody_else_is_named_and_counts_for_its_own_service_only(
    signed: Cloud, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The Compose file of the checkout says which services are built."""
    monkeypatch.setattr(provenance, "PROJECT", tmp_path)
    (tmp_path / ".env.example").touch()
    (tmp_path / "docker-compose.yml").write_text(
        f"services: {{redis: {{image: 'redis:8', {AWS}}}, api: {{build: ., {AWS}}}}}\n"
    )
    found = target.parse(signed.output)
    api = found.services["api"]
    theirs = {**api.task_definition, "containerDefinitions": [{"name": "c", "image": "redis:8"}]}
    foreign = msgspec.structs.replace(api, repository=None, task_definition=theirs)
    for name, message in (("redis", "not checked, signature of redis: redis:8 is not built here"), ("api", "")):
        where = msgspec.structs.replace(found, services={name: foreign})
        checked = signature.check(signed.environment, provenance.of_target(signed.environment, where, {}, COMMIT))
        assert checked.notes == [message] * bool(message)
        assert [each.service for each in checked.wrong] == ["api"] * (name == "api")


def test_without_a_pinned_key_nothing_is_checked_and_that_is_said(signed: Cloud) -> None:
    signing_key.path(signed.environment).unlink()
    [note] = signature.require(signed.environment, images(signed))
    assert note.startswith("not checked, signatures of images: there is no ")
    assert "./inv bootstrap -e staging" in note


def test_a_key_is_made_once_and_another_one_is_never_pinned_in_its_place(signed: Cloud) -> None:
    environment, file = signed.environment, signing_key.path(signed.environment)
    assert signing_key.make(environment) == []
    pinned = file.read_bytes()
    file.unlink()
    [done] = signing_key.make(environment)
    assert "commit it" in done
    assert file.read_bytes() == pinned
    format_ = serialization.PublicFormat.SubjectPublicKeyInfo
    file.write_bytes(KEY.public_key().public_bytes(serialization.Encoding.PEM, format_))
    with pytest.raises(Failure, match="is not the one that"):
        signing_key.make(environment)
    with pytest.raises(Failure, match="is not the one that"):
        signing_key.require(environment, signing_key.pinned(environment))
    file.write_text("no key", encoding="utf-8")
    with pytest.raises(Failure, match="is not the public key of a signing key"):
        signature.require(environment, images(signed))


def test_a_pinned_key_that_is_gone_is_not_made_again(signed: Cloud) -> None:
    signed.environment.client("kms").delete_alias(AliasName=signing_key.alias(signed.environment))
    for ask in (
        lambda: signing_key.make(signed.environment),
        lambda: signing_key.require(signed.environment, signing_key.pinned(signed.environment)),
        lambda: signature.sign(signed.environment, images(signed)[0]),
    ):
        with pytest.raises(Failure, match=r"does not exist on AWS, and .* pins its public half") as failure:
            ask()
        assert failure.value.code is ExitCode.PREFLIGHT


def test_who_may_not_use_the_key_is_told_before_anything_is_built(
    signed: Cloud, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment, key = signed.environment, signing_key.pinned(signed.environment)
    words = "User: arn:aws:sts::123456789012:assumed-role/dev/ada is not authorized to perform: kms:{} on resource: key"

    def refuse(operation: str) -> None:
        error = {"Error": {"Code": "AccessDeniedException", "Message": words.format(operation)}}
        client = environment.client("kms")

        def call(*_: object, **__: object) -> None:
            raise ClientError(error, operation)

        monkeypatch.setattr(client, operation.lower() if operation == "Sign" else "create_key", call)
        monkeypatch.setattr(Environment, "client", lambda *_: client)

    refuse("Sign")
    with pytest.raises(Failure, match="cannot be signed: AWS does not allow kms:Sign to the role dev") as failure:
        signing_key.require(environment, key)
    assert failure.value.code is ExitCode.PREFLIGHT
    other = Environment("other", environment.stack, environment.region, environment.account)
    refuse("CreateKey")
    [note] = signing_key.make(other)
    assert note.startswith("no signing key: AWS does not allow kms:CreateKey")
    assert not signing_key.path(other).exists()
