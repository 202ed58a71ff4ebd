"""Where a service answers: what the rules of its load balancer say."""

import pytest

from ecs_gpu_deploy.core.show.service_url import Forward, Listener, in_order, service_url

OURS, OTHER = "arn:ours", "arn:other"
DNS = "rag-1.eu-central-1.elb.amazonaws.com"


def _forward(*arns):
    return [{"Type": "forward", "ForwardConfig": {"TargetGroups": [{"TargetGroupArn": arn} for arn in arns]}}]


def _weighted(weight):
    return {
        "Type": "forward",
        "ForwardConfig": {"TargetGroups": [{"TargetGroupArn": OURS, "Weight": weight}]},
    }


def _listener(protocol="HTTP", port=80, arn="l", actions=()):
    return Listener.from_api(
        {"ListenerArn": arn, "Protocol": protocol, "Port": port, "DefaultActions": list(actions)}
    )


def _rule(*conditions, to=OURS):
    return Forward.from_api({"Conditions": list(conditions), "Actions": _forward(to)})


def _host(*values):
    return {"Field": "host-header", "HostHeaderConfig": {"Values": list(values)}}


def _path(*values):
    return {"Field": "path-pattern", "Values": list(values)}


@pytest.mark.parametrize(
    ("listener", "rules", "url"),
    [
        (_listener(actions=_forward(OURS)), (), f"http://{DNS}/"),
        (_listener(port=8080, actions=_forward(OTHER, OURS)), (), f"http://{DNS}:8080/"),
        (_listener("HTTPS", 443), [_rule(_host("rag.example.com"))], "https://rag.example.com/"),
        (_listener("TLS", 443, actions=_forward(OURS)), (), f"https://{DNS}/"),
        (_listener("HTTPS", 8443), [_rule(_host("*.example.com", "a.b"))], "https://a.b:8443/"),
        (_listener(), [_rule(_host("*.example.com"))], ""),
        (_listener(), [_rule(_host("*"))], f"http://{DNS}/"),
        (_listener(), [_rule(_host("*.example.com")), _rule(_path("/x"))], f"http://{DNS}/x"),
        (_listener(), [_rule({"Field": "http-header", "HttpHeaderConfig": {"Values": ["test"]}})], ""),
        (_listener(), [_rule({"Field": "host-header", "HostHeaderConfig": {"RegexValues": ["^a"]}})], ""),
        (_listener(actions=[_weighted(0)]), (), ""),
        (_listener(actions=[_weighted(1)]), (), f"http://{DNS}/"),
        (_listener(), [_rule(_path("/api/*"))], f"http://{DNS}/api/"),
        (_listener(), [_rule(_path("/*/x"))], ""),
        (_listener(actions=_forward(OTHER)), [_rule(to=OTHER)], ""),
        (_listener(actions=[{"Type": "redirect"}]), (), ""),
        (_listener(actions=[{"Type": "forward", "TargetGroupArn": OURS}]), (), f"http://{DNS}/"),
        (_listener(), [_rule(_host("evil host/<x>"))], ""),
        (_listener(), [_rule(_host('x"><script>.com'))], ""),
        (_listener(), [_rule(_path('/"><script>'))], ""),
    ],
    ids=[
        "the default action forwards to it",
        "another port is named, and one of several groups is enough",
        "the rule's host is the name",
        "TLS is encrypted as well",
        "a host with a wildcard is no name",
        "a host with wildcards alone is no address: the DNS name is not what the rule wants",
        "any host is the DNS name as well",
        "a rule that is an address comes before one that is none",
        "no address says a header",
        "no address says a pattern",
        "what gets none of the requests is not it",
        "what gets some of them is",
        "a path is a part of it",
        "a path with a wildcard inside is no address",
        "what forwards to others is not it",
        "a redirect does not forward",
        "the older way of an action",
        "what is no host name is none",
        "markup is no host name",
        "and no path",
    ],
)
def test_the_address(listener, rules, url):
    assert service_url(DNS, listener, rules, frozenset({OURS})) == url


def test_what_is_encrypted_comes_first_and_what_no_browser_speaks_never():
    listeners = [
        _listener("TCP", 443, "tcp"),
        _listener("HTTP", 80, "plain"),
        _listener("HTTPS", 8443, "test"),
        _listener("HTTPS", 443, "https"),
    ]
    assert [each.arn for each in in_order(listeners)] == ["https", "test", "plain"]
