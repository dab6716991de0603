"""Members in processes of their own: the fork server, the wire, and shared memory."""
