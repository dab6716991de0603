"""pipebound: split a neural network into pipeline stages, and prove how good the split is."""

from framework.kernel_cache import use_own_cache

__version__ = "0.1.0"

use_own_cache()
