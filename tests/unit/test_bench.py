"""The measurements are run by hand, and seldom: at least they load."""

from __future__ import annotations

import importlib
import pkgutil

import pytest

import bench


@pytest.mark.parametrize("name", [module.name for module in pkgutil.iter_modules(bench.__path__)])
def test_each_measurement_finds_what_it_imports(name: str) -> None:
    assert importlib.import_module(f"bench.{name}")
