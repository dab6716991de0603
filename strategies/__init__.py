"""Built-in strategies: every module of this package registers what it defines, simply by being here."""

from framework.registry import import_modules

import_modules(__name__, __path__)
