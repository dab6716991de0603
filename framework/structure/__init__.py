"""Combinatorial tools on an instance: orders, closure, contraction, reductions, slicing, ideals, cuts."""

from framework.kernel_cache import use_own_cache

use_own_cache()
