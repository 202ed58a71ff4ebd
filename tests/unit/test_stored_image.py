"""An image in ECR: one reading of DescribeImages, and what its host names of account and Region."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import botocore.session
import pytest

from ecs_gpu_deploy.core.image.image_reference import ImageReference
from ecs_gpu_deploy.core.image.repository import Repository, is_ecr
from ecs_gpu_deploy.core.image.stored_image import StoredImage, whether_in_ecr
from ecs_gpu_deploy.errors import InvalidInput

DIGEST = f"sha256:{'a' * 64}"
HOST = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"


def test_an_image_is_read_whole() -> None:
    image = StoredImage.from_api(
        {
            "imageDigest": DIGEST,
            "imageTags": ["v1", "latest"],
            "imageSizeInBytes": 8_000_000_000,
            "imagePushedAt": datetime(2026, 1, 1, tzinfo=UTC),
            "imageManifestMediaType": "application/vnd.oci.image.index.v1+json",
            "imageScanStatus": {"status": "COMPLETE"},
            "imageScanFindingsSummary": {"findingSeverityCounts": {"CRITICAL": 2, "LOW": 7}},
        }
    )
    assert image == StoredImage(
        digest=DIGEST,
        tags=("v1", "latest"),
        size=8_000_000_000,
        pushed_at=datetime(2026, 1, 1, tzinfo=UTC).timestamp(),
        is_index=True,
        scan_status="COMPLETE",
        findings={"critical": 2, "low": 7},
    )


@pytest.mark.parametrize(
    ("status", "archived"),
    [("ACTIVE", False), ("ARCHIVED", True), ("ACTIVATING", True), ("SOMETHING_NEW", False)],
)
def test_what_is_archived_or_still_comes_back_cannot_be_pulled(status: str, archived: bool) -> None:
    assert StoredImage.from_api({"imageStatus": status}).is_archived is archived


@pytest.mark.parametrize(
    ("keys", "there"),
    [
        pytest.param(["active"], "yes", id="it is there"),
        pytest.param(["archived"], "archived", id="it is archived"),
        pytest.param(["gone"], "gone", id="ECR does not have it"),
        pytest.param(["elsewhere"], "unknown", id="it was not looked up"),
        pytest.param(["", "archived", "active"], "archived", id="the first that is known decides"),
    ],
)
def test_whether_an_image_is_in_ecr(keys: list[str], there: str) -> None:
    images = {"active": StoredImage(), "archived": StoredImage(status="ARCHIVED"), "gone": None}
    assert whether_in_ecr(images, *keys) == there


@pytest.mark.parametrize(
    ("registry", "region"),
    [
        pytest.param(HOST, "eu-central-1", id="the usual host"),
        pytest.param("123456789012.dkr.ecr-fips.us-gov-west-1.amazonaws.com", "us-gov-west-1", id="FIPS"),
        pytest.param("123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn", "cn-north-1", id="China"),
        pytest.param("123456789012.dkr-ecr.eu-west-1.on.aws", "eu-west-1", id="dual stack"),
        pytest.param("public.ecr.aws", "", id="the public registry"),
        pytest.param("12.dkr.ecr.eu-west-1.amazonaws.com", "", id="no account"),
        pytest.param(f"{HOST}.evil.example", "", id="a longer name"),
    ],
)
def test_a_host_of_ecr_names_account_and_region(registry: str, region: str) -> None:
    found = Repository.of_image(ImageReference(registry=registry, repository="team/rag", tag="v1"))
    assert is_ecr(registry) is bool(region)
    assert (found.region if found else "") == region
    assert found is None or (found.account, found.name, found.uri) == (
        "123456789012",
        "team/rag",
        f"{registry}/team/rag",
    )


def _partitions() -> Iterator[Any]:
    """Yield a host of ECR in every partition of botocore, single and dual stack, and its Region."""
    loader = botocore.session.Session().get_component("data_loader")
    for partition in loader.load_data("partitions")["partitions"]:
        region = next(name for name in partition["regions"] if not name.endswith("-global"))
        outputs = partition["outputs"]
        dual = outputs["dualStackDnsSuffix"].removeprefix("api.")
        for host in (f"dkr.ecr.{region}.{outputs['dnsSuffix']}", f"dkr-ecr.{region}.on.{dual}"):
            yield pytest.param(f"123456789012.{host}", region, id=f"{partition['id']}: {host[:7]}")


@pytest.mark.parametrize(("registry", "region"), list(_partitions()))
def test_a_host_of_ecr_is_known_in_every_partition(registry: str, region: str) -> None:
    found = Repository.of_image(ImageReference(registry=registry, repository="rag", tag="v1"))
    assert found is not None
    assert found.region == region


def test_a_repository_is_given_by_name_or_by_uri() -> None:
    by_name = Repository.of_input("team/rag", region="eu-west-1")
    assert (by_name.name, by_name.account, by_name.region) == ("team/rag", "", "eu-west-1")
    by_uri = Repository.of_input(f"{HOST}/team/rag", region="eu-west-1")
    assert (by_uri.account, by_uri.region) == ("123456789012", "eu-central-1")


@pytest.mark.parametrize("text", ["rag:v1", f"rag@{DIGEST}", "ghcr.io/acme/rag"])
def test_what_is_no_repository_of_ecr_is_refused(text: str) -> None:
    with pytest.raises(InvalidInput, match="repository is"):
        Repository.of_input(text, region="eu-west-1")
