"""The tensors of an instance without some of its nodes: nets, and what was taken out of them."""
