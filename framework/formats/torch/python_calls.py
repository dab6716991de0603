"""What Python code asks of tensors during a forward pass: values, devices, and recurrent layers.

These questions do not reach the dispatcher, where `Recorder` listens, or reach it too late.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import _disable_current_modes
from torch.utils._pytree import tree_leaves, tree_map

from framework.formats.torch.recurrent import CELLS, LAYERS, func_name, pack, pad, run_recurrent
from framework.formats.torch.trace import Recorder

_META = torch.device("meta")


class PythonCalls(TorchFunctionMode):
    """Answers what cannot be asked of a meta tensor.

    * ``tolist``, ``numpy``, ``repr`` read values where they are known. Each line that reads what depends on an input is
      kept in the recorder's `Leavings`.
    * The parameters of the module are said to be on the meta device, wherever they are, as the inputs are.
    * Functions that ask for one device get meta twins of real tensors, such as those of a cache.
    * Recurrent layers and packed sequences: see `framework.formats.torch.recurrent`.

    Parameters
    ----------
    recorder
        The recorder of the same forward pass.
    own
        The parameters and buffers of the module.
    """

    def __init__(self, recorder: Recorder, own: Iterable[torch.Tensor] = ()) -> None:
        super().__init__()
        self._recorder = recorder
        self._own = {id(tensor) for tensor in own}
        self._readers: dict[Any, Callable[[torch.Tensor], Any]] = {
            torch.Tensor.tolist: self._guessed_list,
            torch.Tensor.numpy: self._refuse_array,
            torch.Tensor.__array__: self._refuse_array,
            torch.Tensor.__dlpack__: self._refuse_array,
            torch.Tensor.__dlpack_device__: self._refuse_array,
            torch.Tensor.__repr__: _shown,
            torch.Tensor.__format__: _shown,
        }
        self._device_getter: Any = torch.Tensor.device.__get__

    def __torch_function__(
        self, func: Any, types: Any, args: Sequence[Any] = (), kwargs: Mapping[str, Any] | None = None
    ) -> Any:
        keywords = kwargs or {}
        if not self._recorder.autocast:
            self._recorder.autocast = any(map(torch.is_autocast_enabled, ("cpu", "cuda")))
        if func in self._readers:
            return self._read(func, args, keywords)
        if func == self._device_getter and id(args[0]) in self._own:
            return _META
        name = func_name(func)
        if name in LAYERS or name in CELLS:
            return run_recurrent(self._recorder.values, func, args, keywords)
        if name == "_pack_padded_sequence":
            return pack(self._recorder.guesses, self._recorder.values, *args, **keywords)
        if name == "_pad_packed_sequence":
            return pad(self._recorder.values, *args, **keywords)
        try:
            return func(*args, **keywords)
        except RuntimeError as error:
            # Some composite functions compare devices before anything is dispatched.
            if "device" not in str(error) or all(tensor.is_meta for tensor in _tensors((args, keywords))):
                raise
            lifted, lifted_keywords = tree_map(self._lifted, (list(args), dict(keywords)))
            return func(*lifted, **lifted_keywords)

    def _lifted(self, leaf: Any) -> Any:
        return self._recorder.values.lift(leaf) if isinstance(leaf, torch.Tensor) else leaf

    def _read(self, func: Any, args: Sequence[Any], keywords: Mapping[str, Any]) -> Any:
        tensor = args[0]
        values, otherwise = self._recorder.values, self._readers[func]
        if tensor.layout != torch.strided:
            return func(*args, **keywords)
        if otherwise is not _shown:
            self._recorder.read_values(tensor, _LEAVING[func], array=func is not torch.Tensor.tolist)
        if not tensor.is_meta:
            return func(*args, **keywords)
        with _disable_current_modes(), torch._C.DisableTorchFunction():
            known = values.known(tensor)
            if known is None:
                return otherwise(tensor)
            return func(known, *args[1:], **keywords)

    def _guessed_list(self, tensor: torch.Tensor) -> Any:
        self._recorder.guesses.count["tolist"] += 1
        return torch.zeros(tensor.shape, dtype=tensor.dtype).tolist()

    def _refuse_array(self, tensor: torch.Tensor) -> Any:
        raise self._recorder.leavings.refuse("numpy")


_LEAVING = {
    torch.Tensor.tolist: "tolist",
    torch.Tensor.numpy: "numpy",
    torch.Tensor.__array__: "numpy",
    torch.Tensor.__dlpack__: "dlpack",
    torch.Tensor.__dlpack_device__: "dlpack",
}


def _tensors(tree: Any) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]


def _shown(tensor: torch.Tensor) -> str:
    return f"tensor(..., device='meta', size={tuple(tensor.shape)})"
