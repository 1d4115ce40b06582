"""How candidates are evaluated on a device, with what ``kernelevolve doctor`` measured there."""

from __future__ import annotations

__all__ = ["default_settings", "remember_resolution", "within"]

import json
import tempfile
from pathlib import Path
from typing import Final

import attrs

from kernelevolve.accelerator import Device, Realm
from kernelevolve.evaluation.isolation import Limits
from kernelevolve.evaluation.pipeline import Settings
from kernelevolve.store import home

#: An interpreter takes a millisecond for what a device does in a nanosecond: small cases, as many as there is time for.
INTERPRETING: Final = Settings(limits=Limits(run_seconds=120.0), check_bytes=64 << 10, check_seconds=30.0)


def default_settings(device: Device) -> Settings:
    """How candidates are evaluated on `device`, with the resolution that ``kernelevolve doctor`` measured there.

    On an interpreter: small cases only, and none begun after half a minute.
    """
    if device.realm is Realm.INTERPRETED:
        return INTERPRETING
    known = _resolutions().get(_resolution_key(device))
    settings = Settings()
    return (
        settings
        if known is None
        else attrs.evolve(settings, protocol=attrs.evolve(settings.protocol, resolution=known))
    )


def within(settings: Settings, run_seconds: float | None, compile_seconds: float | None) -> Settings:
    """`settings` for kernels that are evaluated by themselves, not in a search: every case for every one of them, and
    other limits where they are given.
    """
    limits = settings.limits
    return attrs.evolve(
        settings,
        limits=attrs.evolve(
            limits,
            run_seconds=run_seconds or limits.run_seconds,
            compile_seconds=compile_seconds or limits.compile_seconds,
        ),
        brief_cases=0,
    )


def remember_resolution(device: Device, resolution: float) -> None:
    """Let later verdicts on `device` use the resolution that its A/A self-test showed."""
    path = _resolution_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**_resolutions(), _resolution_key(device): resolution}, indent=2)
    with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=".resolution-", delete=False) as file:
        file.write(text)
    Path(file.name).replace(path)


def _resolution_file() -> Path:
    return home() / "resolution.json"


def _resolution_key(device: Device) -> str:
    return f"{device.label}, {device.description.get('driver', '')}"


def _resolutions() -> dict[str, float]:
    try:
        found = json.loads(_resolution_file().read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):  # never measured, or not readable: the default holds
        return {}
    return {str(key): float(value) for key, value in found.items()} if isinstance(found, dict) else {}
