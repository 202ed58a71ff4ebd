"""A Region that nobody knows is refused before the first call, with the nearest name; a new one is not."""

import pytest

from ecs_gpu_deploy.edges.aws.client import Aws
from ecs_gpu_deploy.edges.machine.clock import WallClock
from ecs_gpu_deploy.errors import InvalidInput


@pytest.fixture(autouse=True)
def _plain_environment(monkeypatch):
    for name in ("AWS_ENDPOINT_URL", "AWS_PROFILE", "HTTPS_PROXY", "https_proxy"):
        monkeypatch.delenv(name, raising=False)


def _nowhere(host, _port):
    raise OSError(f"no address for {host}")


@pytest.mark.parametrize(
    ("region", "hint"), [("eu-centrall-1", "Did you mean region: eu-central-1?"), ("mars-1", "Check region")]
)
def test_a_region_that_nobody_knows_is_refused_at_once(region, hint):
    with pytest.raises(InvalidInput, match=f"There is no AWS Region '{region}'") as caught:
        Aws(region=region, clock=WallClock()).check_region(resolve=_nowhere)
    assert hint in caught.value.hint


def test_a_region_newer_than_botocore_is_known_to_the_name_servers():
    Aws(region="eu-central-9", clock=WallClock()).check_region(resolve=lambda _host, _port: ())


@pytest.mark.parametrize("region", ["eu-central-1", "cn-north-1", "us-gov-west-1"])
def test_a_known_region_is_not_looked_up(region):
    Aws(region=region, clock=WallClock()).check_region(resolve=_nowhere)


def test_an_endpoint_of_ones_own_may_have_any_region(monkeypatch):
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:9")
    Aws(region="eu-centrall-1", clock=WallClock()).check_region(resolve=_nowhere)


def test_a_profile_that_is_not_there_is_answered_with_the_nearest(monkeypatch, tmp_path):
    (tmp_path / "config").write_text("[profile production]\nregion = eu-central-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_PROFILE", "prodction")
    with pytest.raises(InvalidInput, match="no profile 'prodction'; there are production") as caught:
        Aws(region="eu-central-1", clock=WallClock())
    assert caught.value.hint == "Did you mean production?"
