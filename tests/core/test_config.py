"""Config refuses what cannot work, and says which field, what it was and what it has to be."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

import pytest

from rudp.core.config import MAX_WINDOW, MIN_MSS, Config, Keepalive
from rudp.core.congestion import (
    AckSample,
    Bbr,
    CongestionControl,
    Cubic,
    Ledbat,
    Reno,
    WindowBased,
)


class Own(CongestionControl):
    """A congestion control of the user's."""

    def on_ack(self, sample: AckSample) -> None: ...
    def on_loss(self, in_flight: int, now: float) -> None: ...
    def on_timeout(self, in_flight: int, first: bool, now: float) -> None: ...


class OwnWindow(WindowBased):
    """One that keeps most of what is there."""

    def grow(self, acked: int, sample: AckSample) -> None: ...
    def reduced(self, in_flight: int) -> int:
        return in_flight


def test_the_defaults_are_valid_and_those_of_the_rfcs() -> None:
    config = Config()
    assert (config.initial_rto, config.max_rto) == (1.0, 60.0)  # RFC 6298 sections 2.1 and 2.5
    assert config.initial_window == 10  # RFC 6928
    assert config.keepalive is None  # MUST-25
    assert Keepalive().idle >= 7200.0  # MUST-28
    assert config.delayed_ack < 0.5  # MUST-58
    assert config.connect_timeout >= 180.0  # MUST-23
    assert config.r2 >= 100.0  # SHLD-11
    assert (config.sack, config.timestamps, config.window_scaling) == (True, True, True)


def test_a_config_does_not_change_but_is_varied() -> None:
    config = Config()
    with pytest.raises(dataclasses.FrozenInstanceError):
        config.mss = 1000  # type: ignore[misc]
    assert dataclasses.replace(config, mss=1000) == Config(mss=1000) != config


@pytest.mark.parametrize(
    ("field", "good", "bad"),
    [
        ("mss", [MIN_MSS, 65535, None], [MIN_MSS - 1, 65536, 0, -1]),
        ("delayed_ack", [0, 0.0, 0.499], [-0.001, 0.5, math.nan, math.inf]),
        ("initial_window", [1, 10], [0, -1]),
        ("initial_rto", [0.2, 60.0, 3], [0.1, 61.0, math.nan]),
        ("min_rto", [0.001, 1.0], [0.0, -1.0, 1.5, math.nan]),
        ("max_rto", [1.0, 1e6], [0.1, math.nan]),
        ("r1", [0, 3], [-1]),
        ("r2", [0.1, math.inf], [0, -1.0, math.nan]),
        ("connect_timeout", [0.1, 1], [0, -1.0, math.nan]),
        ("syn_ack_retransmissions", [0, 5], [-1]),
        ("user_timeout", [0.1, None], [0, -1.0, math.nan]),
        ("dormant_after", [0.1, None], [0, -1.0, math.nan]),
        ("fin_wait_2_timeout", [0.1], [0, -1, math.nan]),
        ("msl", [0, 120.0], [-0.1, math.nan]),
        ("linger", [0, 10], [-0.1, math.nan]),
        ("send_buffer", [2048, MAX_WINDOW], [2047, MAX_WINDOW + 1]),
        ("receive_buffer", [2048, MAX_WINDOW], [2047, MAX_WINDOW + 1]),
        ("max_reassembly_ranges", [16], [15, 0]),
        ("max_flight_ranges", [16], [15, 0]),
        ("backlog", [1], [0]),
        ("max_connections", [1], [0]),
        ("max_time_wait", [1], [0]),
        ("congestion", ["reno", "ledbat++", Cubic, Own, OwnWindow], ["", "vegas"]),
    ],
)
def test_values_at_the_edge_are_taken_and_beyond_it_refused(
    field: str, good: list[Any], bad: list[Any]
) -> None:
    for value in good:
        assert getattr(Config(**{field: value}), field) == value
    for value in bad:
        # A bound that two fields share may be told in the name of the other.
        with pytest.raises(ValueError, match=r"Config\.\w+ is .*; it has to be "):
            Config(**{field: value})


@pytest.mark.parametrize("field", [field.name for field in dataclasses.fields(Config)])
def test_a_wrong_type_is_refused_by_the_name_of_the_field(field: str) -> None:
    with pytest.raises(TypeError, match=rf"Config\.{field} is "):
        Config(**{field: [] if field != "congestion" else 7})
    if not isinstance(getattr(Config(), field), bool):
        with pytest.raises(TypeError, match=rf"Config\.{field} is "):
            Config(**{field: True})


@pytest.mark.parametrize("field", ["mss", "r1", "initial_window", "send_buffer", "backlog"])
def test_what_is_counted_is_an_integer(field: str) -> None:
    with pytest.raises(TypeError, match=r"an integer"):
        Config(**{field: 1000.0})


def test_a_switch_is_a_boolean_and_not_a_number() -> None:
    with pytest.raises(TypeError, match=r"Config\.nodelay is 1; it has to be True or False"):
        Config(nodelay=1)  # type: ignore[arg-type]


def test_the_message_names_the_field_the_value_and_what_would_do() -> None:
    with pytest.raises(ValueError) as caught:
        Config(delayed_ack=2.0)
    assert str(caught.value) == "Config.delayed_ack is 2.0; it has to be from 0 to below 0.5 s"


def test_an_unknown_algorithm_is_refused_with_those_that_are_known() -> None:
    with pytest.raises(ValueError) as caught:
        Config(congestion="tahoe")
    assert str(caught.value) == (
        "Config.congestion is 'tahoe'; it has to be one of bbr, cubic, ledbat++, reno, or a class"
    )


@pytest.mark.parametrize(
    ("name", "algorithm"), [("reno", Reno), ("cubic", Cubic), ("bbr", Bbr), ("ledbat++", Ledbat)]
)
def test_the_congestion_control_is_found_by_name(
    name: str, algorithm: type[CongestionControl]
) -> None:
    assert Config(congestion=name).congestion_control() is algorithm


def test_the_congestion_control_is_found_by_name_or_taken_as_it_is() -> None:
    assert Config().congestion_control() is Bbr
    assert Config(congestion=Own).congestion_control() is Own
    assert Config(congestion=OwnWindow).congestion_control() is OwnWindow


@pytest.mark.parametrize("bad", [Reno(1000, 10), int, object, None])
def test_what_is_no_class_of_congestion_control_is_refused(bad: Any) -> None:
    with pytest.raises(TypeError, match=r"a name or a subclass of rudp\.CongestionControl$"):
        Config(congestion=bad)


@pytest.mark.parametrize(
    ("lacking", "what"),
    [
        (CongestionControl, r"on_ack and on_loss and on_timeout of rudp\.CongestionControl"),
        (type("Half", (Own,), {"on_ack": CongestionControl.on_ack}), r"on_ack of rudp"),
        (WindowBased, r"grow and reduced of rudp\.WindowBased"),
        (type("NoGrowth", (WindowBased,), {"reduced": Reno.reduced}), r"override grow of rudp"),
    ],
)
def test_an_algorithm_that_lacks_a_method_is_refused_by_its_name(lacking: Any, what: str) -> None:
    with pytest.raises(TypeError, match=what):
        Config(congestion=lacking)


@pytest.mark.parametrize(
    "bad", [{"idle": 0.0}, {"idle": math.nan}, {"interval": 0.0}, {"interval": -1.0}, {"count": 0}]
)
def test_keepalive_is_checked_too(bad: dict[str, Any]) -> None:
    (field,) = bad
    with pytest.raises(ValueError, match=rf"keepalive\.{field} is "):
        Keepalive(**bad)
