"""Image references, parsed and printed."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ecs_gpu_deploy.core.image.image_reference import ImageReference
from ecs_gpu_deploy.errors import InvalidInput

DIGEST = "sha256:" + "0123456789abcdef" * 4
DETERMINISTIC = settings(derandomize=True, database=None, max_examples=100, deadline=None)
ECR = "123456789012.dkr.ecr.eu-central-1.amazonaws.com"


@pytest.mark.parametrize(
    ("text", "registry", "repository", "tag", "digest"),
    [
        pytest.param("nginx", "", "nginx", "", "", id="a short name"),
        pytest.param("nginx:1.27", "", "nginx", "1.27", "", id="with a tag"),
        pytest.param("library/nginx", "", "library/nginx", "", "", id="two parts and no host"),
        pytest.param(f"{ECR}/ki-rag-api:abc", ECR, "ki-rag-api", "abc", "", id="ECR"),
        pytest.param(f"{ECR}/team/rag@{DIGEST}", ECR, "team/rag", "", DIGEST, id="by digest"),
        pytest.param(f"localhost:5000/rag:1@{DIGEST}", "localhost:5000", "rag", "1", DIGEST, id="all four"),
        pytest.param("localhost:5000/rag", "localhost:5000", "rag", "", "", id="a port is no tag"),
        pytest.param("[::1]:5000/rag", "[::1]:5000", "rag", "", "", id="an IPv6 host"),
        pytest.param("a/b__c-d.e--f", "", "a/b__c-d.e--f", "", "", id="separators"),
    ],
)
def test_parts(text: str, registry: str, repository: str, tag: str, digest: str) -> None:
    reference = ImageReference.from_text(text)
    assert (reference.registry, reference.repository) == (registry, repository)
    assert (reference.tag, reference.digest) == (tag, digest)
    assert str(reference) == text


@pytest.mark.parametrize(
    ("text", "word"),
    [
        pytest.param("", "empty", id="nothing"),
        pytest.param("Rag", "lower-case", id="upper case"),
        pytest.param("rag:", "no tag", id="an empty tag"),
        pytest.param("rag:a b", "no tag", id="a space"),
        pytest.param("rag:1\n", "no tag", id="a line end"),
        pytest.param("rag@sha256:abc", "no digest", id="a short digest"),
        pytest.param(f"rag@{DIGEST}:new", "no digest", id="a tag glued to a digest (fabfuel 1.17)"),
        pytest.param("rag@", "no digest", id="an empty digest"),
        pytest.param("host:5000/", "no registry|repository", id="no repository"),
        pytest.param("a//b", "no repository name", id="an empty part"),
        pytest.param("https://h.example/rag", "no registry|repository", id="a URL"),
        pytest.param("${IMAGE}", "no repository name", id="a variable nobody filled in"),
        pytest.param("h.example/" + "a" * 300, "longer", id="too long"),
    ],
)
def test_refused(text: str, word: str) -> None:
    with pytest.raises(InvalidInput, match=word) as caught:
        ImageReference.from_text(text)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 500


def test_another_tag_drops_the_digest_and_a_digest_drops_the_tag() -> None:
    pinned = ImageReference.from_text(f"{ECR}/rag:1@{DIGEST}")
    assert str(ImageReference.from_text("rag:1").with_digest(DIGEST)) == f"rag@{DIGEST}"
    assert pinned.name == f"{ECR}/rag"


parts = st.from_regex(r"[a-z0-9]{1,5}((\.|_|__|-{1,3})[a-z0-9]{1,4}){0,2}", fullmatch=True)


@DETERMINISTIC
@given(
    registry=st.sampled_from(
        ["", "localhost", "h.example", "h.example:5000", "LOCAL:1", ECR, "[2001:db8::1]"]
    ),
    repository=st.lists(parts, min_size=1, max_size=3),
    tag=st.just("") | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,20}", fullmatch=True),
    digest=st.just("") | st.from_regex(r"sha256:[0-9a-f]{64}", fullmatch=True),
)
def test_printing_and_parsing_loses_nothing(
    registry: str, repository: list[str], tag: str, digest: str
) -> None:
    if not registry and ("." in repository[0] or repository[0] == "localhost"):
        repository = ["plain", *repository]
    reference = ImageReference(registry=registry, repository="/".join(repository), tag=tag, digest=digest)
    assert ImageReference.from_text(str(reference)) == reference


@DETERMINISTIC
@given(text=st.text(max_size=60))
def test_any_text_is_parsed_as_it_stands_or_refused(text: str) -> None:
    try:
        reference = ImageReference.from_text(text)
    except InvalidInput:
        return
    assert str(reference) == text
