"""Our own values against what the wire can carry."""


def require_range(value: object, **limits: int) -> None:
    """Raise ValueError for the first of the named attributes that is not in 0..limit."""
    for name, limit in limits.items():
        if not 0 <= getattr(value, name) <= limit:
            raise ValueError(f"{name}: {getattr(value, name)} is not in 0..{limit}")
