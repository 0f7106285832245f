"""Which file a client gets for a name, and where its uploads go: rules, own directories, roots, policies."""

from __future__ import annotations

import os
import posixpath
from collections.abc import Iterator

from ptftpd.errors import FileError
from ptftpd.settings import Settings
from ptftpd.tftp import names
from ptftpd.tftp.files import Source, Tree, local, unwritable
from ptftpd.tftp.names import Facts
from ptftpd.tftp.uploads import Policy, Upload

Quirks = tuple[str, ...]  # what was done to a name, for the record of the transfer


class Catalog:
    """The files of one configuration."""

    def __init__(self, settings: Settings) -> None:
        """Open the roots; Error when one cannot be used, or a rule."""
        self._settings, self._misfit = settings.tftp, settings.misfit
        self._rules = names.Rules(settings.remaps.items(), settings.sources)
        top = f"{settings.pxe.root[0].rstrip('/')}/"  # a path with it in front is meant to be below it, too
        self._sections: dict[str, str] = {}
        self._uploads: dict[str, str] = {}
        for path, directory in settings.directories.items():
            name = path.removeprefix(top)
            below = _inside(name, settings, f"directory {path}", "uploads", directory.uploads)
            self._sections[below], self._uploads[below] = path, directory.uploads
        for template in settings.tftp.client_directory:
            _inside(template, settings, "tftp", "client_directory", template)
        self._tree = Tree(settings.pxe.root, settings.sources.get(("pxe", "root"), ""))

    def close(self) -> None:
        """Release the roots; open files stay open."""
        self._tree.close()

    def read(self, name: str, facts: Facts) -> tuple[Source, Quirks]:
        """Return the file that a client calls name; FileError says why there is none."""
        path, quirks = self._rewritten(name, facts, writing=False)
        attempts = [(path, False, ""), *((mended, False, quirk) for mended, quirk in names.mended(path))]
        if self._settings.ignore_case:
            attempts.append((names.cleaned(path) or path, True, "case differs"))
        refusal: FileError | None = None
        for attempt, ignore_case, quirk in attempts:
            for candidate in names.candidates(attempt, self._settings.client_directory, facts):
                try:
                    source = self._tree.open(candidate, ignore_case=ignore_case)
                except FileError as error:
                    refusal = refusal if refusal and error.kind == FileError.NOT_FOUND else error
                else:
                    return source, (*quirks, quirk) if quirk else quirks
        assert refusal is not None
        raise refusal

    def write(self, name: str, facts: Facts, announced: int | None) -> tuple[Upload, Quirks]:
        """Return the file to be written, or FileError; announced is its size in octets, if known."""
        rewritten, quirks = self._rewritten(name, facts, writing=True)
        parent, base = posixpath.split(names.relative(rewritten))
        if base in ("", ".", ".."):
            raise FileError(FileError.DENIED, "the name is that of a directory")
        tftp = self._settings
        nearest = max((at for at in self._uploads if _below(parent or ".", at)), key=len, default=None)
        allowed = tftp.uploads if nearest is None else self._uploads[nearest]
        if allowed == "none":
            raise FileError(FileError.DENIED, "uploads are off" + (" here" if self._uploads else ""))
        fd, directory = self._tree.directory(parent)
        policy = Policy(allowed, tftp.upload_limit, tftp.upload_reserve, tftp.upload_umask)
        return Upload(fd, directory, local(base), policy, announced), quirks

    def upload_faults(self, *, writing: bool) -> Iterator[str]:
        """Yield a sentence for each directory for uploads that is not there, or may not be written.

        writing: whether this process is the one that writes.
        """
        policies = {"": self._settings.uploads} if self._settings.uploads != "none" else {}
        for path, uploads in (policies | self._uploads).items():
            section = f"directory {self._sections[path]}" if path else "tftp"
            try:
                fd, directory = self._tree.directory(path)
            except FileError as error:
                reason = f"{posixpath.join(self._tree.roots[0], path)}: {error.reason}"
                yield self._fault(
                    section, uploads, reason.replace("no such file", "there is no such directory")
                )
                continue
            try:
                if writing and uploads != "none" and (reason := unwritable(fd)):
                    yield self._fault(section, uploads, f"{directory}: {reason}")
            finally:
                os.close(fd)

    def _fault(self, section: str, uploads: str, reason: str) -> str:
        return str(self._misfit(section, "uploads", uploads, reason))

    def _rewritten(self, name: str, facts: Facts, *, writing: bool) -> tuple[str, Quirks]:
        path, used = self._rules.apply(name, facts, writing=writing)
        return path, (f"rewritten to {path} by {', '.join(used)}",) if used else ()


def _below(path: str, directory: str) -> bool:
    return directory in (".", path) or path.startswith(f"{directory}/")


def _inside(path: str, settings: Settings, section: str, key: str, value: str) -> str:
    """Return the name of a path below a root; ConfigError about a setting when it leads out."""
    try:
        return names.relative(path)
    except FileError:
        reason = f"must stay below the root directory: {path} leads out of it"
        raise settings.misfit(section, key, value, reason) from None
