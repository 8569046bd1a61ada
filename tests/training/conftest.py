"""What the tests of training share: some of the devices, and a count of what is compiled."""

from collections.abc import Callable

import jax
import pytest

from mlp_jax.machine import devices


@pytest.fixture
def on_devices(monkeypatch: pytest.MonkeyPatch) -> Callable[[int], None]:
    """Let populations see the first `count` of the CPU devices."""

    def use(count: int) -> None:
        there = jax.devices()[:count]
        monkeypatch.setattr(jax, "local_devices", lambda: there)
        monkeypatch.setattr(jax, "local_device_count", lambda: count)
        assert devices.mesh().size == count

    return use


@pytest.fixture
def compilations() -> Callable[[Callable], int]:
    """Count the programs that the back end compiles while a function runs."""

    def count(function: Callable) -> int:
        seen = []
        note = lambda event, duration, **_: seen.append(event) if event.endswith("backend_compile_duration") else None
        jax.monitoring.register_event_duration_secs_listener(note)
        try:
            function()
        finally:
            jax.monitoring.unregister_event_duration_listener(note)
        return len(seen)

    return count
