"""How long to wait for an answer (RFC 6298), in seconds."""

TIMEOUT_MIN_S = 0.03
TIMEOUT_MAX_S = 1.0
_FIRST_S = 0.2


class RoundTrip:
    """Estimates the timeout from samples; doubles it after each that ran out."""

    def __init__(self) -> None:
        self._smoothed: float | None = None
        self._variation = 0.0
        self._backoff = 1

    @property
    def timeout_s(self) -> float:
        """Return how long to wait now."""
        estimate = _FIRST_S if self._smoothed is None else self._smoothed + 4 * self._variation
        return min(max(estimate, TIMEOUT_MIN_S) * self._backoff, TIMEOUT_MAX_S)

    def sample(self, seconds: float) -> None:
        """Take in how long an answer took."""
        self._backoff = 1
        if self._smoothed is None:
            self._smoothed, self._variation = seconds, seconds / 2
            return
        self._variation += (abs(self._smoothed - seconds) - self._variation) / 4
        self._smoothed += (seconds - self._smoothed) / 8

    def ran_out(self) -> None:
        """No answer came in time."""
        self._backoff = min(2 * self._backoff, 64)
