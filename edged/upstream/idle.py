"""Whether a destination is idle: nothing is being sent to it, and nothing waits that may be."""

from edged.services.bell import Bell


class Idle:
    """What the workers noted when they last looked for something to send; `became` rings each time that it is so."""

    def __init__(self) -> None:
        self.is_so = False
        self.became = Bell()

    def note(self, *, is_so: bool) -> None:
        """Note whether it is so."""
        self.is_so = is_so
        if is_so:
            self.became.ring()
