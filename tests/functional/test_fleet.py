"""Hosts that are silent, drained, given up: builds move only when their guest cannot run where they were."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import timedelta

import pytest

from injector.db import Store, open_store
from injector.dispatcher.manager import DispatcherManager
from injector.errors import Conflict, NoHost, NotFound
from injector.model.boot import ClientToken, NicOrder, Rebuild
from injector.model.host import Room
from injector.model.instance import Fault, Instance, State, Step
from injector.model.report import Entering, Failed, Launched, Settled
from injector.settings import DispatcherSettings
from tests import builders
from tests.ages import LONG, let_time_pass

CONTEXT = builders.a_context()
NETWORK = builders.a_network(forwards=(22,))
LAUNCHED = Launched(builders.a_plan(), builders.a_receipt(), builders.NOON)


@dataclass
class Cloud:
    """A dispatcher over a store, and the hosts of its guests, which say that they are there when a test has them."""

    store: Store
    settings: DispatcherSettings
    rung: list[tuple[str, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._now = 0.0
        self.dispatcher = DispatcherManager(self.store, self._ring, self.settings, lambda: self._now)

    def _ring(self, host: str, instance_id: str) -> None:
        self.rung.append((host, instance_id))

    def hosts(self, *names: str, **facts: object) -> None:
        for name in names:
            self.dispatcher.host_report(builders.some_host_facts(name=name, **facts))

    def boot(self, number: int = 1, **changes: object) -> Instance:
        values = {"instance_id": f"00000000-0000-4000-8000-{number:012d}", "nics": (NicOrder(NETWORK),)}
        (instance,) = self.dispatcher.build(CONTEXT, (builders.a_boot_request(**(values | changes)),), 1)
        return instance

    def launch(self, number: int = 1) -> Instance:
        instance = self.boot(number)
        assert self.allow(instance)
        assert self.dispatcher.report(str(instance.host), instance.id, instance.attempt, LAUNCHED)
        return self.store.instance(instance.id)

    def allow(self, instance: Instance) -> bool:
        question = Entering(Step.START, builders.NOON)
        return self.dispatcher.report(str(instance.host), instance.id, instance.attempt, question)

    def go_round(self, seconds: float) -> None:
        """The patrol, for so long by its own clock."""
        until = self._now + seconds
        while self._now < until:
            self.hold_up(self.settings.ring_interval)
            self.dispatcher.patrol.round()

    def hold_up(self, seconds: float) -> None:
        """The dispatcher does nothing for so long."""
        self._now += seconds

    def let_silence_pass(self, *alive: str) -> None:
        """Longer than a host may be silent, the patrol on its rounds meanwhile; these then say that they are there."""
        self.go_round(LONG)
        let_time_pass(self.store)
        for name in alive:
            assert self.dispatcher.host_alive(name)


@pytest.fixture
def cloud(fresh_database: str) -> Iterator[Cloud]:
    store = open_store(fresh_database, migrate=False)
    store.add_network(NETWORK)
    yield Cloud(store, DispatcherSettings())
    store.close()


# hosts that are not heard of


def test_a_silent_host_gets_no_guests_until_it_is_heard_again(cloud: Cloud) -> None:
    cloud.hosts("a", "b")
    cloud.let_silence_pass("b")
    assert cloud.boot(1).host == "b"
    cloud.let_silence_pass()
    with pytest.raises(NoHost, match="2 known, 2 silent"):
        cloud.boot(2)
    assert cloud.dispatcher.host_alive("a")
    assert cloud.boot(3).host == "a"
    assert not cloud.dispatcher.host_alive("nobody")


def test_a_build_not_yet_allowed_to_start_moves_when_its_host_is_silent(cloud: Cloud) -> None:
    cloud.hosts("a", "b")
    instance = cloud.boot()
    assert cloud.dispatcher.report("a", instance.id, 1, Entering(Step.DELIVER, builders.NOON))
    cloud.let_silence_pass("b")
    Cloud(cloud.store, cloud.settings).dispatcher.patrol.round()
    assert cloud.store.instance(instance.id).host == "a"  # one that has just come has not listened for long enough
    cloud.dispatcher.patrol.round()
    moved = cloud.store.instance(instance.id)
    assert (moved.host, moved.attempt, moved.state) == ("b", 2, State.BUILDING)
    assert cloud.rung[-1] == ("b", instance.id)
    # The one that was away comes back, asks, and is told to let go; what it then says of itself changes nothing.
    assert not cloud.allow(instance)
    assert not cloud.dispatcher.report("a", instance.id, 1, LAUNCHED)
    assert cloud.dispatcher.assignment("a", instance.id) is None
    assert cloud.allow(moved)


def test_a_build_that_was_allowed_to_start_is_never_started_elsewhere(cloud: Cloud) -> None:
    cloud.hosts("a", "b")
    instance = cloud.boot()
    assert cloud.allow(instance)
    for _ in range(3):
        cloud.let_silence_pass("b")
        cloud.dispatcher.patrol.round()
    waiting = cloud.store.instance(instance.id)
    assert (waiting.host, waiting.attempt, waiting.may_run) == ("a", 1, True)
    assert cloud.dispatcher.report("a", instance.id, 1, LAUNCHED)
    assert cloud.store.instance(instance.id).state is State.ACTIVE


def test_when_nobody_is_heard_it_is_not_the_hosts_fault_and_nothing_moves(cloud: Cloud) -> None:
    cloud.hosts("a", "b")
    instance = cloud.boot()
    cloud.let_silence_pass()
    cloud.dispatcher.patrol.round()
    assert cloud.store.instance(instance.id) == instance


def _moves_only_if_still_silent(cloud: Cloud, instance: Instance) -> None:
    """Nothing at once, though one host is heard again; and its own host has as long as ever to be heard."""
    cloud.dispatcher.patrol.round()
    cloud.go_round(cloud.settings.host_down_after - cloud.settings.ring_interval)
    assert cloud.store.instance(instance.id) == instance
    cloud.go_round(cloud.settings.host_down_after)
    assert cloud.store.instance(instance.id).host == "b"


def test_the_first_host_to_be_heard_after_an_outage_condemns_nobody(cloud: Cloud) -> None:
    cloud.hosts("a", "b")
    instance = cloud.boot()
    cloud.let_silence_pass()
    cloud.dispatcher.patrol.round()
    cloud.hold_up(cloud.settings.ring_interval)
    assert cloud.dispatcher.host_alive("b")
    _moves_only_if_still_silent(cloud, instance)


def test_a_host_whose_time_is_over_first_is_not_condemned_while_nobody_is_heard(cloud: Cloud) -> None:
    """In an outage, too, hosts were not all heard last at the same moment."""
    cloud.hosts("a", "b")
    instance = cloud.boot()
    cloud.go_round(LONG)
    let_time_pass(cloud.store, 8)
    assert cloud.dispatcher.host_alive("b")
    let_time_pass(cloud.store, cloud.settings.host_down_after - 4)
    cloud.dispatcher.patrol.round()
    assert cloud.store.instance(instance.id) == instance
    assert cloud.dispatcher.host_alive("b")
    _moves_only_if_still_silent(cloud, instance)


def test_a_dispatcher_that_was_frozen_first_listens(cloud: Cloud) -> None:
    cloud.hosts("a", "b")
    instance = cloud.boot()
    cloud.let_silence_pass("b")
    cloud.hold_up(LONG)
    _moves_only_if_still_silent(cloud, instance)


def test_the_answer_to_a_query_that_hung_condemns_nobody(cloud: Cloud, monkeypatch: pytest.MonkeyPatch) -> None:
    cloud.hosts("a", "b")
    instance = cloud.boot()
    cloud.let_silence_pass("b")
    query = cloud.store.silent_hosts

    def hung(seconds: float) -> frozenset[str]:
        cloud.hold_up(LONG)
        return query(seconds)

    with monkeypatch.context() as patch:
        patch.setattr(cloud.store, "silent_hosts", hung)
        cloud.dispatcher.patrol.round()
    assert cloud.store.instance(instance.id) == instance
    _moves_only_if_still_silent(cloud, instance)


def test_a_build_that_nobody_else_can_take_fails_and_keeps_nothing(cloud: Cloud) -> None:
    cloud.hosts("a")
    cloud.hosts("b", memory_mib=600)
    instance = cloud.boot(flavor=builders.a_flavor(ram=4096))
    cloud.let_silence_pass("b")
    cloud.dispatcher.patrol.round()
    failed = cloud.store.instance(instance.id)
    assert failed.state is State.ERROR
    assert failed.fault is not None
    assert "not heard of" in failed.fault.message
    assert not failed.holds_claims
    assert cloud.store.host_record("a").usage.guests == 0


def test_a_silent_host_is_not_rung(cloud: Cloud) -> None:
    cloud.hosts("a", "b")
    first, second = cloud.boot(1), cloud.boot(2)
    assert (first.host, second.host) == ("a", "b")
    cloud.let_silence_pass("b")
    cloud.rung.clear()
    cloud.dispatcher.patrol.ring_silent()
    assert cloud.rung == [("b", second.id)]


# what an operator decides


def test_a_disabled_host_keeps_its_guests_and_gets_no_more(cloud: Cloud) -> None:
    cloud.hosts("a", "b")
    running = cloud.launch()
    cloud.dispatcher.enable_host(CONTEXT, "a", False, "a fan is loud")
    assert [cloud.boot(number).host for number in (2, 3)] == ["b", "b"]
    assert cloud.store.instance(running.id) == running
    assert cloud.store.host_record("a").disabled_reason == "a fan is loud"
    cloud.hosts("a")  # what it says of itself does not overrule the operator
    assert cloud.boot(4).host == "b"
    cloud.dispatcher.enable_host(CONTEXT, "a", True, None)
    assert cloud.boot(5).host == "a"
    with pytest.raises(NotFound):
        cloud.dispatcher.enable_host(CONTEXT, "nobody", True, None)


def test_a_drained_host_hands_over_what_was_not_allowed_to_start(cloud: Cloud) -> None:
    cloud.hosts("a")
    running, building = cloud.launch(1), cloud.boot(2)
    cloud.hosts("b")
    assert cloud.dispatcher.drain_host(CONTEXT, "a", "new disks") == (running.id,)
    assert cloud.store.instance(building.id).host == "b"
    assert cloud.boot(3).host == "b"


def test_a_host_is_given_up_only_when_it_is_silent(cloud: Cloud) -> None:
    cloud.hosts("a", "b")
    running = cloud.launch()
    for decided in (cloud.dispatcher.evacuate_host, cloud.dispatcher.forget_host):
        with pytest.raises(Conflict, match="is alive"):
            decided(CONTEXT, "a")
    assert cloud.store.instance(running.id) == running


def test_what_ran_on_a_host_that_was_given_up_is_made_anew_elsewhere_and_its_old_self_let_go(cloud: Cloud) -> None:
    cloud.hosts("a")
    running, building, deleting = cloud.launch(1), cloud.boot(2), cloud.launch(3)
    assert cloud.allow(building)
    cloud.dispatcher.act(CONTEXT, deleting.id, State.DELETING)
    cloud.hosts("b")
    cloud.let_silence_pass("b")
    assert set(cloud.dispatcher.evacuate_host(CONTEXT, "a")) == {running.id, building.id}
    again = cloud.store.instance(running.id)
    assert (again.host, again.state, again.attempt, again.nics) == ("b", State.BUILDING, 2, running.nics)
    assert cloud.dispatcher.assignment("b", running.id) == replace(again, payload=builders.a_sealed())
    with pytest.raises(NotFound):
        cloud.store.instance(deleting.id)
    assert cloud.dispatcher.assignments("a") == ()
    assert cloud.store.host_record("a").usage.guests == 0
    assert not cloud.store.host_record("a").enabled
    assert not cloud.dispatcher.report("a", running.id, 1, Settled(State.STOPPED, builders.NOON))
    assert cloud.allow(again)
    assert cloud.dispatcher.report("b", running.id, 2, LAUNCHED)
    cloud.dispatcher.forget_host(CONTEXT, "a")
    assert [host.facts.name for host in cloud.store.host_records()] == ["b"]


def test_a_host_with_guests_is_not_forgotten(cloud: Cloud) -> None:
    cloud.hosts("a")
    cloud.launch()
    cloud.let_silence_pass()
    with pytest.raises(Conflict, match="has servers"):
        cloud.dispatcher.forget_host(CONTEXT, "a")


def test_a_guest_stays_in_the_zone_that_it_asked_for(cloud: Cloud) -> None:
    cloud.hosts("a", "c", availability_zone="north")
    cloud.hosts("b", availability_zone="south", memory_mib=2**20)
    bound = cloud.boot(1, availability_zone="north")
    free = cloud.boot(2)
    assert (bound.host, free.host) == ("a", "b")
    failed = Failed(Fault(503, "full", builders.NOON), elsewhere=True)
    assert cloud.dispatcher.report("a", bound.id, 1, failed)
    assert cloud.dispatcher.report("b", free.id, 1, failed)
    bound, free = cloud.store.instance(bound.id), cloud.store.instance(free.id)
    assert (bound.host, bound.availability_zone) == ("c", "north")
    assert (free.host, free.availability_zone) == ("a", "north")
    assert cloud.allow(bound)
    assert cloud.dispatcher.report("c", bound.id, 2, LAUNCHED)
    cloud.dispatcher.enable_host(CONTEXT, "a", False, None)
    cloud.let_silence_pass("b")
    assert cloud.dispatcher.evacuate_host(CONTEXT, "c") == ()
    assert cloud.store.instance(bound.id).host == "c"


# the same call again


def test_the_same_request_twice_is_one_guest(cloud: Cloud) -> None:
    cloud.hosts("a", "b")
    once = cloud.boot()
    assert cloud.boot() == once
    assert cloud.store.host_record("a").usage.guests + cloud.store.host_record("b").usage.guests == 1


def test_the_same_request_is_known_though_its_own_address_is_in_its_way(cloud: Cloud) -> None:
    cloud.hosts("a")
    nics = (NicOrder(NETWORK, fixed_ip="10.0.2.77"),)
    once = cloud.boot(nics=nics)
    assert cloud.boot(nics=nics) == once
    with pytest.raises(Conflict, match=r"10\.0\.2\.77"):
        cloud.boot(2, nics=nics)


@pytest.mark.parametrize("token", [None, ClientToken("engines", "deploy-7", "ab" * 32)])
def test_the_same_request_is_known_though_it_took_the_last_room(cloud: Cloud, token: ClientToken | None) -> None:
    cloud.store.save_host(builders.some_host_facts(name="a"), Room(vcpus=3, ram=4096, disk=100))
    requests = tuple(builders.a_boot_request(instance_id=f"0000000{number}", nics=()) for number in range(3))
    # Room for three, then for one more, then for none.
    once = cloud.dispatcher.build(CONTEXT, requests, 1, token)
    assert len(once) == 3
    assert cloud.dispatcher.build(CONTEXT, requests, 1, token) == once
    cloud.store.save_host(builders.some_host_facts(name="a"), Room(vcpus=4, ram=4096, disk=100))
    assert cloud.dispatcher.build(CONTEXT, requests, 1, token) == once
    cloud.boot(9, nics=())
    assert cloud.dispatcher.build(CONTEXT, requests, 1, token) == once
    with pytest.raises(NoHost):
        cloud.boot(10, nics=())


def test_a_known_token_is_answered_with_what_was_made_and_another_request_refused(cloud: Cloud) -> None:
    cloud.hosts("a")
    requests = tuple(builders.a_boot_request(instance_id=f"0000000{number}", nics=()) for number in (1, 2))
    token = ClientToken("engines", "deploy-7", "ab" * 32)
    (first,) = cloud.dispatcher.build(CONTEXT, requests[:1], 1, token)
    assert cloud.dispatcher.build(CONTEXT, requests[1:], 1, token) == (first,)
    with pytest.raises(Conflict, match="token"):
        cloud.dispatcher.build(CONTEXT, requests[1:], 1, replace(token, digest="cd" * 32))


def test_a_failure_that_is_heard_late_does_not_move_a_build_that_was_begun_again(cloud: Cloud) -> None:
    """The first copy lay with a dispatcher that was frozen; rung again, the host was allowed to start meanwhile."""
    cloud.hosts("a", "b")
    instance = cloud.boot()
    fault = Fault(503, "full", builders.NOON - timedelta(seconds=20))
    assert cloud.allow(instance)
    allowed = cloud.store.instance(instance.id)
    for elsewhere in (True, False):
        assert not cloud.dispatcher.report("a", instance.id, 1, Failed(fault, elsewhere))
    assert cloud.store.instance(instance.id) == allowed
    # That its start failed is another failure.
    fault = Fault(503, "full", builders.NOON + timedelta(seconds=1))
    assert cloud.dispatcher.report("a", instance.id, 1, Failed(fault, elsewhere=True))
    assert cloud.store.instance(instance.id).host == "b"


def test_a_failure_told_twice_moves_the_build_once(cloud: Cloud) -> None:
    cloud.hosts("a", "b", "c")
    instance = cloud.boot()
    failed = Failed(Fault(503, "full", builders.NOON), elsewhere=True)
    assert cloud.dispatcher.report("a", instance.id, 1, failed, "call-1")
    assert not cloud.dispatcher.report("a", instance.id, 1, failed, "call-1")
    assert cloud.store.instance(instance.id).attempt == 2


# made anew


def test_a_rebuild_keeps_the_payload_or_replaces_it(cloud: Cloud) -> None:
    cloud.hosts("a")
    running = cloud.launch()
    rebuilt = cloud.dispatcher.rebuild(CONTEXT, running.id, Rebuild(running.image), "call-1")
    assert (rebuilt.state, rebuilt.attempt) == (State.REBUILDING, 2)
    assert cloud.dispatcher.assignment("a", running.id) == replace(rebuilt, payload=builders.a_sealed())
    assert cloud.dispatcher.rebuild(CONTEXT, running.id, Rebuild(running.image), "call-1") == rebuilt
    assert cloud.allow(rebuilt)
    assert cloud.dispatcher.report("a", running.id, 2, LAUNCHED)
    other = replace(builders.a_sealed(), ciphertext=b"another")
    cloud.dispatcher.rebuild(CONTEXT, running.id, Rebuild(running.image, payload=other))
    assigned = cloud.dispatcher.assignment("a", running.id)
    assert assigned is not None
    assert assigned.payload == other


def test_a_rebuild_that_its_host_has_no_room_for_is_refused(cloud: Cloud) -> None:
    cloud.hosts("a")
    cloud.boot(1, flavor=builders.a_flavor(disk=0))
    instance = cloud.store.instance("00000000-0000-4000-8000-000000000001")
    assert cloud.allow(instance)
    assert cloud.dispatcher.report("a", instance.id, 1, LAUNCHED)
    huge = builders.an_image(virtual_size=101 * 1024**3)
    with pytest.raises(Conflict, match="no room"):
        cloud.dispatcher.rebuild(CONTEXT, instance.id, Rebuild(huge))
    assert cloud.store.instance(instance.id).state is State.ACTIVE
    assert cloud.store.host_record("a").usage.disk == 2
