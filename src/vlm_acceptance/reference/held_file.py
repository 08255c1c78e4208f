"""A reference file that one process holds, however often it is replaced: record and power take turns."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from types import TracebackType

from vlm_acceptance.core.errors import EnvironmentProblem, UsageProblem
from vlm_acceptance.core.files import shown

# the machine's own troubles; what else forbids a file is the person's to mend
_MACHINE = (errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE)


class HeldFile:
    """A regular file open for reading and writing, locked until it is closed; `option` begins its errors.

    UsageProblem when another process holds it or it is none; EnvironmentProblem when the disk takes no more.
    """

    def __init__(self, path: Path, option: str = "", *, create: bool = False) -> None:
        self.path, self._option = path, option
        self.file = self._locked(create)

    def write(self, content: bytes) -> None:
        """Write at the end of what was read, and wait until it is on the disk."""
        try:
            _write(self.file, content)
        except OSError as broken:
            raise self.unwritable(broken) from None

    def replace(self, lines: Iterable[bytes]) -> None:
        """Put these lines in the place of the file at once; the new file is held before anyone can see it."""
        part = self.path.with_name(f"{self.path.name}.part")
        new: io.FileIO | None = None
        try:
            new = io.FileIO(os.open(part, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o644), "r+")
            fcntl.flock(new, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _write(new, b"".join(lines))
            part.replace(self.path)
        except OSError as broken:
            if new is not None:
                new.close()
            with suppress(OSError):
                part.unlink()
            raise self.unwritable(broken) from None
        self.file.close()
        self.file = new

    def close(self) -> None:
        """Let go of the file; one that holds nothing is removed, for it would only be in the way."""
        if self.file.closed:
            return
        with suppress(OSError):
            if os.fstat(self.file.fileno()).st_size == 0:
                self.path.unlink()
        with suppress(OSError):
            self.file.close()

    def __enter__(self) -> HeldFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def unwritable(self, broken: OSError) -> UsageProblem | EnvironmentProblem:
        """The error of a file that cannot be written, by whose fault it is."""
        text = f"{self._option}{shown(self.path)} cannot be written: {broken.strerror}"
        return EnvironmentProblem(text) if broken.errno in _MACHINE else UsageProblem(text)

    def _locked(self, create: bool) -> io.FileIO:
        while True:
            file = self._opened(create)
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as broken:
                file.close()
                if isinstance(broken, BlockingIOError):
                    raise UsageProblem(f"{self._option}another process is writing {shown(self.path)}") from None
                raise self.unwritable(broken) from None
            # whoever held it may have replaced or removed it since it was opened
            with suppress(OSError):
                if os.path.samestat(os.fstat(file.fileno()), self.path.stat()):
                    return file
            file.close()

    def _opened(self, create: bool) -> io.FileIO:
        # a pipe does not block, and a terminal does not become ours
        flags = os.O_RDWR | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC | (os.O_CREAT if create else 0)
        try:
            number = os.open(self.path, flags, 0o644)
        except OSError as broken:
            raise self.unwritable(broken) from None
        except ValueError:
            raise UsageProblem(f"{self._option}{shown(self.path)} cannot be written: its name is not valid") from None
        if not stat.S_ISREG(os.fstat(number).st_mode):
            os.close(number)
            raise UsageProblem(f"{self._option}{shown(self.path)} is not a regular file; name one, or a new name")
        return io.FileIO(number, "r+")


def _write(file: io.FileIO, content: bytes) -> None:
    left = memoryview(content)
    while left:
        left = left[file.write(left) :]
    os.fsync(file.fileno())
