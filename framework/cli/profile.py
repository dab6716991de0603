def command() -> None:
    """x."""
