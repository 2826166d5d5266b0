"""The one exception for mistakes that a user can correct."""


class UserError(Exception):
    """A mistake in what was given: one clear sentence of what was given, what is allowed and what to do.

    Entry scripts print it without a traceback and exit with status 2.
    """


class NonFiniteLossError(UserError):
    """A loss or gradient that is NaN or infinite: the run stops, the last state stays. Also of a model's evaluation."""


def nearest(given: str, allowed: list[str]) -> str:
    """Return ' Did you mean "x"?' for the closest allowed name, or '' where none is close."""
    import difflib

    match = difflib.get_close_matches(given.lower(), [a.lower() for a in allowed], n=1, cutoff=0.6)
    if not match:
        return ""
    original = next(a for a in allowed if a.lower() == match[0])
    return f' Did you mean "{original}"?'


def unknown(kind: str, given: str, allowed: list[str]) -> UserError:
    """Build the error for an unknown name of `kind` with all options and the nearest match."""
    return UserError(f'Unknown {kind} "{given}"; allowed are: {", ".join(sorted(allowed))}.{nearest(given, allowed)}')
