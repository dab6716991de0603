"""Programs of ``torch.export``: files of them, their graphs, and which calls of them are nodes."""
