"""PyTorch modules and exported programs: the forward pass recorded without weights.

::

    from framework.formats import torch as torch_format

    graph = torch_format.read(lambda: MyModel(config), (torch.empty(1, 3, 224, 224, device="meta"),))
"""

from framework.formats.torch.reader import read as read
