"""PyTorch: modules, recorded without weights, and exported programs with the files that hold them.

::

    from framework.formats import torch as torch_format

    graph = torch_format.read(lambda: MyModel(config), (torch.empty(1, 3, 224, 224, device="meta"),))
"""

from framework.formats.format import Format
from framework.formats.torch.export import files
from framework.formats.torch.reader import read as read

FORMAT = Format(
    name="torch-export",
    description="programs of torch.export.save (needs torch)",
    patterns=("*.pt2",),
    sniff=files.sniff,
    parse=lambda data, path, options: files.parse(data, path, dims=options.dims, kv_tokens=options.kv_tokens),
    options=frozenset({"dims", "kv_tokens"}),
)
