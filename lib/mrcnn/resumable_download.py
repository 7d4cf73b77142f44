"""One file over HTTP into a `.part` file: a broken transfer goes on where it broke off."""

import contextlib
import http.client
import json
import os
import re
import ssl
import time
import urllib.error
import urllib.request
from pathlib import Path

from mrcnn.files import atomic_path

CHUNK = 1 << 20  # bytes received at once
TIMEOUT = 60  # seconds without a byte
WAITS = (1, 2, 4, 8, 16)  # seconds before tries that follow each other without new bytes
BUSY = (408, 425, 429, 500, 502, 503, 504)  # answers that may be others in a moment
NO_HEAD = (405, 501)  # the server knows GET alone
PIECE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")  # the header Content-Range
GO_ON = "Try again to go on from there."


class TransferError(OSError):
    """A file that cannot be fetched; the message says why and what to do."""


class _BrokenError(Exception):
    """A transfer that broke off but may go on."""


def require_file(url, size):
    """Ask a server whether it has a file of this many bytes.

    Raises:
        TransferError: it does not, or cannot be reached.
    """
    try:
        response = _headers_of(url)
    except urllib.error.HTTPError as error:
        raise _refusal(url, error) from error
    except _BrokenError as error:
        raise TransferError(
            f"{url} cannot be reached ({error}). Check the connection, or choose another server."
        ) from error
    with response:
        _require_size(url, response, size)


def arrived(part):
    """Bytes that a `.part` file has."""
    return Path(part).stat().st_size if os.path.exists(part) else 0


def fetch(url, part, size, moved=lambda count: None, say=lambda text: None):
    """Bring a file over, with several tries; what has arrived before is not asked for again.

    A server that ignores the request for the rest, or whose file has changed since, makes the
    transfer start anew. Beside `part` lies `part`.json, which says what the file was.

    Args:
        url: http or https address.
        part: path of the file to fill; it stays, complete or not.
        size: bytes of the file.
        moved: called with the number of bytes that are there, again and again.
        say: called with sentences about what delays the transfer.

    Raises:
        TransferError: the server has no such file, or breaks off again and again.
        OSError: the file cannot be written.
    """
    part = Path(part)
    furthest, waits = arrived(part), iter(WAITS)
    while True:
        try:
            _receive(url, part, size, moved)
            return
        except urllib.error.HTTPError as error:
            raise _refusal(url, error) from error
        except _BrokenError as error:
            have = arrived(part)
            if have > furthest:
                furthest, waits = have, iter(WAITS)
            wait = next(waits, None)
            if wait is None:
                raise TransferError(
                    f"The transfer of {url} broke off ({error}); {have:,} of {size:,} bytes are "
                    f"in {part}. {GO_ON}"
                ) from error
            say(f"The transfer broke off ({error}); it goes on in {wait} s.")
            time.sleep(wait)


def forget(part):
    """Remove a `.part` file and the note beside it."""
    for path in (Path(part), _note_path(part)):
        path.unlink(missing_ok=True)


def _headers_of(url):
    """An answer whose content is not read."""
    try:
        return _open(url, "HEAD")
    except urllib.error.HTTPError as error:
        if error.code not in NO_HEAD:
            raise
        error.close()
    return _open(url, "GET")


def _receive(url, part, size, moved):
    """One try: ask for what is missing and append it."""
    have = arrived(part)
    if have == size:
        return
    if have > size:
        forget(part)
        have = 0
    headers = _condition(url, part) | {"Range": f"bytes={have}-"} if have else {}
    with _asked(url, part, headers) as response:
        goes_on = response.status == http.client.PARTIAL_CONTENT
        if goes_on:
            _require_rest(response, part, have, size)
        else:  # only now, and only for a file of the right size, is it worth to start anew
            _require_size(url, response, size)
            forget(part)
        note = {"url": url, "version": _version(response.headers)}
        with atomic_path(_note_path(part)) as path:
            path.write_text(json.dumps(note), encoding="utf-8")
        with open(part, "ab") as file:
            moved(file.tell())
            for data in _chunks(response):
                file.write(data)
                moved(file.tell())
                if file.tell() > size:  # it may go on for ever
                    break
    if arrived(part) > size:
        forget(part)
        raise TransferError(
            f"{url} sent more than the {size:,} bytes that the file should have; they were "
            "deleted. Choose another server."
        )
    if arrived(part) < size:
        raise _BrokenError(f"the server stopped after {arrived(part):,} of {size:,} bytes")


def _asked(url, part, headers):
    try:
        return _open(url, "GET", headers)
    except urllib.error.HTTPError as error:
        if error.code != http.client.REQUESTED_RANGE_NOT_SATISFIABLE or not headers:
            raise
        error.close()
        forget(part)
        raise _BrokenError("the server's file has become shorter") from error


def _open(url, method, headers=None):
    """Send a request; 4xx raises HTTPError, everything that may pass raises _BrokenError."""
    headers = {"Accept-Encoding": "identity", "User-Agent": "mrcnn"} | (headers or {})
    try:
        request = urllib.request.Request(url, headers=headers, method=method)
        return urllib.request.urlopen(request, timeout=TIMEOUT)
    except urllib.error.HTTPError as error:
        if error.code not in BUSY:
            raise
        error.close()
        raise _BrokenError(f"the server answers {error.code} {error.reason}") from error
    except urllib.error.URLError as error:
        if isinstance(error.reason, ssl.SSLCertVerificationError):
            raise TransferError(
                f"{url}: the server's certificate is not valid for this address "
                f"({error.reason.verify_message}). Choose another server."
            ) from error
        raise _BrokenError(str(error.reason)) from error
    except (OSError, http.client.HTTPException) as error:
        raise _BrokenError(str(error) or type(error).__name__) from error


def _chunks(response):
    while True:
        try:
            data = response.read(CHUNK)
        except (OSError, http.client.HTTPException) as error:
            raise _BrokenError(str(error) or type(error).__name__) from error
        if not data:
            return
        yield data


def _require_size(url, response, size):
    """Refuse a page that says "not found" or "log in first", or another file of the same name."""
    length = response.headers.get("Content-Length")
    if length is None and response.headers.get_content_type() != "text/html":
        return  # counted when all has arrived
    if length != str(size):
        raise TransferError(
            f"{url} should be a file of {size:,} bytes, but the server sends "
            f"{response.headers.get_content_type()} of {length or 'unknown'} bytes. Check "
            "the address and whether the network asks to log in first; what arrived before is kept."
        )


def _require_rest(response, part, have, size):
    """Make sure that an answer goes on where the file ends, and is of a file of the same size."""
    piece = PIECE.fullmatch(response.headers.get("Content-Range", ""))
    if not piece or int(piece[1]) != have or piece[2] not in ("*", str(size)):
        forget(part)
        raise _BrokenError("the server sent another piece than asked for, so all is fetched anew")


def _condition(url, part):
    """The header that asks for the rest only if the file is still the same, as far as known.

    What came from another address is gone on with too: whoever fetches checks the whole.
    """
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):  # none, or a damaged one
        note = json.loads(_note_path(part).read_text(encoding="utf-8"))
        if note["url"] == url and note["version"]:
            return {"If-Range": note["version"]}
    return {}


def _version(headers):
    """What tells versions of a file apart: a strong ETag, else its date, else None."""
    tag = headers.get("ETag")
    return tag if tag and not tag.startswith("W/") else headers.get("Last-Modified")


def _note_path(part):
    return Path(f"{part}.json")


def _refusal(url, error):
    error.close()
    return TransferError(
        f"{url} cannot be fetched: the server answers {error.code} {error.reason}. Check "
        "the address."
    )
