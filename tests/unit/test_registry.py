"""Registries to log in to: which host is meant, of whose account."""

import pytest

from ecs_gpu_deploy.core.image.registry import RegistryWish

OWN = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"


@pytest.mark.parametrize(
    ("text", "host"),
    [
        ("210987654321", "210987654321.dkr.ecr.eu-central-1.amazonaws.com"),
        ("210987654321.dkr.ecr.us-east-1.amazonaws.com", "210987654321.dkr.ecr.us-east-1.amazonaws.com"),
        (f"https://{OWN}/rag", OWN),
        ("public", "public.ecr.aws"),
        ("public.ecr.aws", "public.ecr.aws"),
    ],
)
def test_the_host_that_is_meant(text, host):
    assert RegistryWish.from_text(text).host_beside(OWN) == host


def test_without_a_name_it_is_the_accounts_own():
    assert RegistryWish().host_beside(OWN) == OWN


def test_a_host_brings_its_region():
    assert RegistryWish.from_text("210987654321.dkr.ecr.us-east-1.amazonaws.com").region == "us-east-1"
