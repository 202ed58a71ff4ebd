"""What a host has to pull."""

import json

import pytest

from ecs_gpu_deploy.core.image.layers import layer_delta, manifest_of, size_text


def _manifest(**layers):
    entries = [{"digest": f"sha256:{name}", "size": size} for name, size in layers.items()]
    return manifest_of(json.dumps({"schemaVersion": 2, "layers": entries}))


def test_only_new_layers_are_pulled_by_a_warm_host():
    old = _manifest(base=48_000_000, torch=3_900_000_000, code=2_000_000)
    new = _manifest(base=48_000_000, torch=3_900_000_000, code2=38_000_000)
    delta = layer_delta(old, new)
    assert delta.new_bytes == 38_000_000
    assert str(delta) == "new layers 38 MB of 4 GB: a warm GPU host pulls 38 MB, a fresh one 4 GB"
    assert delta.pull_seconds == pytest.approx(398.6)


def test_without_the_old_image_everything_is_new():
    delta = layer_delta(None, _manifest(a=1, b=2))
    assert delta.new_bytes == delta.total_bytes == 3


def test_a_layer_that_stands_twice_is_pulled_once():
    text = json.dumps({"layers": [{"digest": "a", "size": 32}, {"digest": "a", "size": 32}]})
    assert layer_delta(None, manifest_of(text)).total_bytes == 32


def test_an_index_names_its_platforms():
    children = [
        {"digest": "sha256:x", "platform": {"os": "linux", "architecture": "amd64"}},
        {"digest": "sha256:a", "platform": {"os": "unknown", "architecture": "unknown"}},
    ]
    manifest = manifest_of(json.dumps({"manifests": children}))
    assert manifest.child("linux/amd64") == "sha256:x"
    assert manifest.child("linux/arm64") == ""
    assert manifest.images == ("sha256:x",), "an attestation is no image"


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"layers": 7}'])
def test_what_is_no_manifest(text):
    assert manifest_of(text) is None


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1_500, "1.5 kB"),
        (38_000_000, "38 MB"),
        (999_600_000, "1 GB"),
        (4_890_000_000, "4.9 GB"),
        (120_000_000_000, "120 GB"),
    ],
)
def test_sizes_as_people_write_them(size, text):
    assert size_text(size) == text
