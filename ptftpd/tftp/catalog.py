"""Which file a client gets for a name, and where its uploads go: rules, own directories, roots, policies.

What may be read or written is decided on the canonical thing: the cleaned name of each attempt, and the real
path of what was opened. The name as it was spelled decides nothing that these do not.
"""

from __future__ import annotations

import difflib
import os
import posixpath
import re
from collections.abc import Iterator
from functools import partial

from ptftpd.errors import Faults, FileError
from ptftpd.patterns import LONGEST
from ptftpd.settings import Settings
from ptftpd.tftp import names
from ptftpd.tftp.files import Source, Tree, local, remote
from ptftpd.tftp.names import Facts
from ptftpd.tftp.permissions import unwritable
from ptftpd.tftp.remap import Rules
from ptftpd.tftp.roots import Tell
from ptftpd.tftp.space import Space
from ptftpd.tftp.uploads import Policy, Upload

Quirks = tuple[str, ...]  # what was done to a name, for the record of the transfer
ROOT_IN_FRONT = "the root's own path in front"


class Catalog:
    """The files of one configuration."""

    def __init__(
        self, settings: Settings, space: Space | None = None, tell: Tell = lambda sentence: None
    ) -> None:
        """Open the roots; Error says which of them cannot be used, and which rules and directories.

        space: what is promised to uploads, shared by all that write. tell: takes sentences for the record.
        """
        self._settings, self._misfit = settings.tftp, settings.misfit
        self._space = space or Space()
        self._sections: dict[str, str] = {}
        self._uploads: dict[str, str] = {}
        tops = [names.relative(root) for root in settings.pxe.root]
        self._root_in_front = [(partial(_without, f"{top}/"), ROOT_IN_FRONT) for top in tops]
        faults = Faults()
        with faults.noted():
            ignore_case = settings.tftp.ignore_case
            self._rules = Rules(settings.remaps.items(), settings.sources, ignore_case=ignore_case)
        self._place(settings, faults)
        with faults.noted():
            self._tree = Tree(settings.pxe.root, settings.sources.get(("pxe", "root"), ""), tell)
            if faults:
                self._tree.close()
        faults.check()

    def _place(self, settings: Settings, faults: Faults) -> None:
        """Take the directories that settings name; those that lead out of the roots are noted."""
        top = f"{settings.pxe.root[0].rstrip('/')}/"  # a path with it in front is meant to be below it, too
        for path, directory in settings.directories.items():
            name = path.removeprefix(top)
            with faults.noted():
                below = _inside(name, settings, f"directory {path}", "uploads", directory.uploads)
                self._sections[below], self._uploads[below] = path, directory.uploads
        for template in settings.tftp.client_directory:
            with faults.noted():
                _inside(template, settings, "tftp", "client_directory", template)

    def close(self) -> None:
        """Release the roots; open files stay open."""
        self._tree.close()

    # Reading -----------------------------------------------------------------------------------

    def read(self, name: str, facts: Facts) -> tuple[Source, Quirks]:
        """Return the file that a client calls name; FileError says why there is none."""
        path, quirks = self._rewritten(name, facts, writing=False)
        own = name.startswith(("/", "\\")) if path == name else None  # see Rules.check
        refusal: FileError | None = None
        for attempt, ignore_case, mended in self._attempts(path):
            self._rules.check(names.relative(attempt), facts, writing=False, slash=own)
            for candidate in names.candidates(attempt, self._settings.client_directory, facts):
                try:
                    source = self._tree.open(candidate, ignore_case=ignore_case)
                except FileError as error:
                    if refusal is None or _tells_more(error, refusal):
                        refusal = error
                    continue
                try:
                    self._admit(source, facts)
                except FileError:
                    source.close()
                    raise
                return source, (*quirks, *mended)
        assert refusal is not None
        raise refusal

    def _attempts(self, path: str) -> Iterator[tuple[str, bool, Quirks]]:
        """Yield (name, whether its case is ignored, quirks); the next is for when the last was not found."""
        forms = names.mended(path, (*names.QUIRKS, *self._root_in_front))
        for name, quirks in forms:
            yield name, False, quirks
        if self._settings.ignore_case:
            for name, quirks in forms:
                yield name, True, (*quirks, "case differs")

    def _admit(self, source: Source, facts: Facts) -> None:
        """Raise FileError when what was opened may not be served, whatever it was called."""
        if names.is_unfinished(source.below):
            raise FileError(FileError.NOT_FOUND, "no such file", f"{source.path} is an upload on its way in")
        self._rules.check(source.below, facts, writing=False)

    def similar(self, name: str) -> str:
        """Return another name, of a file that may have been meant, '' if there is none."""
        try:
            parent, base = posixpath.split(names.relative(name))
        except FileError:
            return ""
        entries = sorted(self._tree.entries(parent) - {base})
        folded = {entry.casefold(): entry for entry in reversed(entries)}
        close = difflib.get_close_matches(base.casefold(), folded, 1)
        return posixpath.join(parent, folded[close[0]]) if close else ""

    # Writing -----------------------------------------------------------------------------------

    def write(self, name: str, facts: Facts, announced: int | None) -> tuple[Upload, Quirks]:
        """Return the file to be written, or FileError; announced is its size in octets, if known."""
        rewritten, quirks = self._rewritten(name, facts, writing=True)
        if self._settings.uploads == "none" and not any(each != "none" for each in self._uploads.values()):
            raise FileError(FileError.DENIED, "uploads are off" + (" here" if self._uploads else ""))
        path = names.relative(rewritten)
        self._rules.check(path, facts, writing=True)
        try:
            return self._upload(path, facts, announced), quirks
        except FileError as error:
            if error.kind != FileError.NOT_FOUND:
                raise
            forms = names.mended(path, self._root_in_front)
            if len(forms) == 1:
                raise self._absent(posixpath.dirname(path), error) from None
        return self._upload(forms[1][0], facts, announced), (*quirks, ROOT_IN_FRONT)

    def _upload(self, path: str, facts: Facts, announced: int | None) -> Upload:
        """Return the file to be written below the first root; the place that was opened decides."""
        parent, base = posixpath.split(path)
        if base in ("", ".", ".."):
            raise FileError(FileError.DENIED, "the name is that of a directory")
        _check_name(path)
        directory = self._tree.directory(parent)
        try:
            directory, base = self._tree.target(directory, local(base))
            below = posixpath.join(remote(directory.below), remote(base))
            _check_name(below)
            self._rules.check(below, facts, writing=True)
            allowed = self._allowed(remote(directory.below))
            if allowed == "none":
                raise FileError(FileError.DENIED, "uploads are off" + (" here" if self._uploads else ""))
            if allowed == "version" and re.search(r"\.~[0-9]+~\Z", base):
                raise FileError(FileError.DENIED, "such names are those of earlier versions")
        except FileError:
            os.close(directory.fd)
            raise
        tftp = self._settings
        policy = Policy(
            allowed, tftp.upload_limit, tftp.upload_reserve, tftp.upload_umask, tftp.upload_versions
        )
        upload = Upload(directory.fd, directory.path, base, policy, announced, self._space)
        upload.root, upload.may_hang = self._tree.roots[0], directory.may_hang
        return upload

    def _absent(self, directory: str, error: FileError) -> FileError:
        """Return the error of a directory that is not there: nobody is told so where uploads are off."""
        nearest = max((at for at in self._uploads if _below(directory or ".", at)), key=len, default=None)
        allowed = self._settings.uploads if nearest is None else self._uploads[nearest]
        return FileError(FileError.DENIED, "uploads are off here") if allowed == "none" else error

    def _allowed(self, directory: str) -> str:
        """Return the policy of a real directory: that of the nearest section whose own real path it is below.

        A section may itself name a link: what that leads to is meant.
        """
        nearest, allowed = -1, self._settings.uploads
        for section, uploads in self._uploads.items():
            try:
                opened = self._tree.directory(section)
            except FileError:
                real = section
            else:
                real = remote(opened.below) or "."
                os.close(opened.fd)
            depth = 0 if real == "." else len(real)
            if _below(directory or ".", real) and depth > nearest:
                nearest, allowed = depth, uploads
        return allowed

    def upload_faults(self, *, writing: bool) -> Iterator[str]:
        """Yield a sentence for each directory for uploads that is not there, or may not be written.

        writing: whether this process is the one that writes.
        """
        policies = {"": self._settings.uploads} if self._settings.uploads != "none" else {}
        for path, uploads in (policies | self._uploads).items():
            section = f"directory {self._sections[path]}" if path else "tftp"
            try:
                directory = self._tree.directory(path)
            except FileError as error:
                reason = f"{posixpath.join(self._tree.roots[0], path)}: {error.explained}"
                yield self._fault(
                    section, uploads, reason.replace("no such file", "there is no such directory")
                )
                continue
            try:
                if writing and uploads != "none" and (reason := unwritable(directory.fd)):
                    yield self._fault(section, uploads, f"{directory.path.rstrip('/')}: {reason}")
            finally:
                os.close(directory.fd)

    def _fault(self, section: str, uploads: str, reason: str) -> str:
        return str(self._misfit(section, "uploads", uploads, reason))

    def _rewritten(self, name: str, facts: Facts, *, writing: bool) -> tuple[str, Quirks]:
        """Return what the rules make of a name; FileError when one refuses it, or it is too long."""
        if len(name) > LONGEST:
            raise FileError(FileError.NOT_FOUND, f"the name is longer than {LONGEST} characters")
        path, used = self._rules.apply(name, facts, writing=writing)
        return path, (f"rewritten to {path} by {', '.join(used)}",) if used else ()


def _tells_more(error: FileError, earlier: FileError) -> bool:
    """Return whether why a later name was refused tells more than why an earlier one was."""
    if error.kind != FileError.NOT_FOUND:
        return True
    return earlier.kind == FileError.NOT_FOUND and bool(error.detail) and not earlier.detail


def _without(top: str, name: str) -> str:
    """Return the name without the path of a root in front of it."""
    try:
        path = names.relative(name)
    except FileError:
        return name
    return path.removeprefix(top) if path.startswith(top) else name


def _check_name(path: str) -> None:
    if reason := names.unwritable(path):
        raise FileError(FileError.DENIED, reason)


def _below(path: str, directory: str) -> bool:
    return directory in (".", path) or path.startswith(f"{directory}/")


def _inside(path: str, settings: Settings, section: str, key: str, value: str) -> str:
    """Return the name of a path below a root; ConfigError about a setting when it leads out."""
    try:
        return names.relative(path)
    except FileError:
        reason = f"must stay below the root directory: {path} leads out of it"
        raise settings.misfit(section, key, value, reason) from None
