"""PyTorch modules and exported programs: the forward pass recorded without weights."""
