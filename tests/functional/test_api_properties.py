"""Whatever is sent, the api answers with what the caller can act on: never a 5xx, never a body that is no JSON."""

from __future__ import annotations

import contextlib
import inspect
import json
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from injector.api.rpc import TOPIC, ApiEndpoint
from injector.errors import RequestError
from tests import builders
from tests.api_house import ApiHouse
from tests.prompt_compute import PromptCompute
from tests.worlds import World

ROOM = {"vcpus": 10**9, "memory_mib": 10**9}
NOBODY = "00000000-0000-4000-8000-000000000000"

# Half a surrogate pair is legal in JSON, and nowhere else.
_text = st.text(st.characters(exclude_categories=()), max_size=300) | st.sampled_from(["\ud800", "\0", "web\n"])
_anything = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _text,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.text(st.characters(exclude_categories=()), max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)
_base64 = st.binary(max_size=100).map(lambda content: b64encode(content).decode()) | _text
_file = st.fixed_dictionaries(
    {"path": _text, "contents": _base64},
    optional={"injector:mode": _text | st.just("0644"), "injector:best_effort": st.booleans(), "x": _anything},
)
_number = st.integers(-2, 3) | st.sampled_from(["1", "2", "0", "x", "-1"])
_keys = {
    "adminPass": _text,
    "metadata": st.dictionaries(_text, _text, max_size=4),
    "key_name": _text | st.just("laptop"),
    "user_data": _base64,
    "config_drive": st.booleans() | st.sampled_from(["true", "False", "", "maybe"]),
    "personality": st.lists(_file, max_size=7),
    "networks": st.sampled_from(["auto", "none", [], [{"uuid": NOBODY}], [{"fixed_ip": "10.0.2.20"}]]) | _anything,
    "min_count": _number,
    "max_count": _number,
    "hostname": _text | st.just("web"),
    "availability_zone": _text | st.just("nova"),
    "injector:best_effort": st.lists(st.sampled_from(["key", "file", "network"]), max_size=2),
    "return_reservation_id": st.booleans(),
}
_kinds = {
    "/v2.1/os-keypairs": ("keypair", ("name", "public_key", "type", "user_id")),
    "/v2.1/flavors": ("flavor", ("name", "id", "ram", "vcpus", "disk", "swap", "rxtx_factor", "description")),
    "/v2.0/networks": ("network", ("name", "injector:kind", "injector:subnets", "injector:forwards", "mtu")),
    "/v2/images": (None, ("name", "disk_format", "id", "min_disk", "hw_machine_type", "kernel_id", "tags")),
}
_subnet_text = st.sampled_from(["10.0.0.0/24", "10.0.0.1", "10.0.0.300", "fd00::/64", "fd00::5", "::", "0.0.0.0/0"])
_subnet = st.dictionaries(
    st.sampled_from(["cidr", "gateway", "pool_first", "pool_last", "dns", "dhcp", "routes"]),
    _subnet_text | st.booleans() | st.lists(_subnet_text, max_size=2) | _anything,
)

_argument = st.dictionaries(st.sampled_from(["name", "limit", "marker", "id"]), _text, max_size=2) | _text | _anything

_patiently = settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory, module_world: World) -> Iterator[ApiHouse]:
    directory: Path = tmp_path_factory.mktemp("house")
    with ApiHouse(directory, world=module_world) as running:
        PromptCompute(running.dispatcher, builders.some_host_facts(name="host-1", **ROOM)).start()
        running.a_flavor()
        running.client.create_network({"name": "lab", "injector:kind": "user"})
        running.client.add_keypair("laptop", builders.PUBLIC_KEY)
        yield running


@pytest.fixture(scope="module")
def rest(house: ApiHouse) -> httpx.Client:
    return house.rest()


@pytest.fixture(scope="module")
def image_id(house: ApiHouse) -> str:
    return house.an_image().id


def post(rest: httpx.Client, path: str, document: Any) -> httpx.Response:
    """As ASCII: httpx's own writer of JSON stumbles over what ours must not."""
    return rest.post(path, content=json.dumps(document), headers={"Content-Type": "application/json"})


def act_on(answer: httpx.Response) -> int:
    assert answer.status_code < 500, answer.text
    if answer.content:
        answer.json()
    return answer.status_code


@_patiently
@given(body=st.fixed_dictionaries({"server": st.dictionaries(st.sampled_from(sorted(_keys)), _anything)}) | _anything)
def test_create_with_anything(rest: httpx.Client, body: Any) -> None:
    assert act_on(post(rest, "/v2.1/servers", body)) in (400, 403, 409)


@_patiently
@given(said=st.fixed_dictionaries({"name": _text | st.just("web")}, optional=_keys))
def test_create_with_what_looks_like_a_request(rest: httpx.Client, image_id: str, said: dict[str, Any]) -> None:
    server = {"imageRef": image_id, "flavorRef": "1"} | said
    assert act_on(post(rest, "/v2.1/servers", {"server": server})) in (202, 400, 403, 409)


@_patiently
@given(path=st.sampled_from(sorted(_kinds)), data=st.data())
def test_records_of_anything(rest: httpx.Client, path: str, data: st.DataObject) -> None:
    wrapper, keys = _kinds[path]
    likely = st.sampled_from(["raw", "user", "bridge", "ssh", "1", "q35", builders.PUBLIC_KEY, NOBODY]) | st.integers(
        0, 9
    )
    document = data.draw(st.dictionaries(st.sampled_from(keys), likely | _text | _anything))
    act_on(post(rest, path, {wrapper: document} if wrapper else document))


@_patiently
@given(subnets=st.lists(_subnet, max_size=3))
def test_subnets_of_anything(rest: httpx.Client, subnets: list[Any]) -> None:
    network = {"name": "n", "injector:kind": "libvirt", "injector:source": "default", "injector:subnets": subnets}
    assert act_on(post(rest, "/v2.0/networks", {"network": network})) in (201, 400)


@_patiently
@given(
    name=st.sampled_from(["os-start", "os-stop", "reboot", "os-getConsoleOutput", "rebuild"]),
    arguments=_anything | st.fixed_dictionaries({"length": _anything}) | st.fixed_dictionaries({"type": _anything}),
)
def test_actions_of_anything(rest: httpx.Client, name: str, arguments: Any) -> None:
    assert act_on(post(rest, f"/v2.1/servers/{NOBODY}/action", {name: arguments})) in (400, 404)


@_patiently
@given(
    path=st.sampled_from(
        ["/v2.1/servers", "/v2.1/flavors/detail", "/v2/images", "/v2.0/networks", "/v2.1/os-keypairs"]
    ),
    parameters=st.dictionaries(
        st.sampled_from(["name", "limit", "marker", "status", "id", "deleted", "sort_dir", "x"]), st.text(), max_size=3
    ),
)
def test_lists_of_anything(rest: httpx.Client, path: str, parameters: dict[str, str]) -> None:
    assert act_on(rest.get(path, params=parameters)) in (200, 400, 404)


@_patiently
@given(segment=st.text(min_size=1, max_size=40), method=st.sampled_from(["GET", "DELETE"]))
def test_ids_of_anything(rest: httpx.Client, segment: str, method: str) -> None:
    for place in ("/v2.1/servers", "/v2.1/flavors", "/v2.1/os-keypairs", "/v2/images", "/v2.0/networks"):
        act_on(rest.request(method, f"{place}/{quote(segment, safe='')}"))


@_patiently
@given(method=st.sampled_from(sorted(ApiEndpoint.methods)), data=st.data())
def test_the_bus_with_anything(house: ApiHouse, method: str, data: st.DataObject) -> None:
    """A RequestError is the caller's to mend; an InternalError would be a bug of ours."""
    names = inspect.signature(getattr(ApiEndpoint, method)).parameters.keys() - {"self", "context"}
    arguments: dict[str, Any] = {name: data.draw(_argument, label=name) for name in sorted(names)}
    with contextlib.suppress(RequestError):
        house.bus.call(TOPIC, method, version="1.0", **arguments)
