"""Imported once by the fork server, so that every member finds the heavy packages in memory already."""

import importlib
import pkgutil

import numba  # noqa: F401

import framework.registry
import framework.structure

framework.registry.load_plugins()
for module in pkgutil.iter_modules(framework.structure.__path__):
    importlib.import_module(f"framework.structure.{module.name}")
