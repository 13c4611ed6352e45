"""Random bytes from the system, drawn in larger pieces: a system call for every eight bytes shows in a profile."""

import os

_PIECE = 4096


class Entropy:
    """Callable like `os.urandom`. No byte is given twice, and a forked process starts with a piece of its own."""

    def __init__(self) -> None:
        self._piece = b""
        self._used = 0
        os.register_at_fork(after_in_child=self._forget)

    def __call__(self, count: int) -> bytes:
        start = self._used
        end = self._used = start + count
        if end > len(self._piece):
            if count > _PIECE:
                return os.urandom(count)
            self._piece = os.urandom(_PIECE)
            start, end = 0, count
            self._used = count
        return self._piece[start:end]

    def _forget(self) -> None:
        self._piece = b""
        self._used = 0


random_bytes = Entropy()
