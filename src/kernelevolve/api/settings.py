"""How candidates are evaluated on a device, with what ``kernelevolve doctor`` measured there."""

from __future__ import annotations

__all__ = ["default_settings", "remember_resolution"]

import json
import tempfile
from pathlib import Path

import attrs

from kernelevolve.accelerator import Device
from kernelevolve.evaluation.pipeline import Settings
from kernelevolve.store import home


def default_settings(device: Device) -> Settings:
    """How candidates are evaluated on `device`, with the resolution that ``kernelevolve doctor`` measured there."""
    known = _resolutions().get(_resolution_key(device))
    settings = Settings()
    return (
        settings
        if known is None
        else attrs.evolve(settings, protocol=attrs.evolve(settings.protocol, resolution=known))
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
