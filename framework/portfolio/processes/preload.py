"""Imported once by the fork server, so that every member finds the heavy packages in memory already."""

import gc

from framework.signals import leave_to_parent

leave_to_parent()

# Importing allocates much and frees nothing; collecting on the way is a tenth of the start-up time.
gc.disable()

from framework.structure.numba_start import initialise_numba  # noqa: E402

initialise_numba()

import importlib  # noqa: E402
import pkgutil  # noqa: E402

import framework.registry  # noqa: E402
import framework.structure  # noqa: E402

framework.registry.load_plugins()
for module in pkgutil.walk_packages(framework.structure.__path__, "framework.structure."):
    importlib.import_module(module.name)

# Members share these pages until someone writes to them; the collector must not.
gc.freeze()
gc.enable()
