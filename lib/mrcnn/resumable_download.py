"""Files of known size and checksum over HTTP: a broken transfer goes on where it broke off."""

import hashlib
import http.client
import os
import time
import urllib.error
import urllib.request

from mrcnn.files import disk_explained, require_room

CHUNK = 1 << 20  # bytes received at once
TIMEOUT = 60  # seconds without a byte
WAITS = (1, 2, 4, 8, 16)  # seconds before tries that follow each other without new bytes


def fetch(url, path, size, checksum, bar):
    """Bring a file over, unless it is there; until it is complete and right, it is `path`.part.

    Args:
        url: http or https address.
        path: of the file to make.
        size: bytes of the file.
        checksum: its MD5 or SHA-256 as hexadecimal digits.
        bar: see `mrcnn.progress.byte_bar`.

    Raises:
        OSError: it cannot be fetched or written, or is another. The next call goes on.
    """
    part = _part(path)
    with disk_explained(part):
        if path.exists() and is_right(path, checksum, bar):
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        require_room(path.parent, size - arrived(path))
        _transfer(url, path, size, bar)
        if not is_right(part, checksum, bar):
            part.unlink()
            raise OSError(
                f"What came from {url} is not the file that was published there: its checksum is "
                "another. It was deleted; try again to fetch it anew, or from another server."
            )
        os.replace(part, path)


def arrived(path):
    """Bytes that are there of a file on its way."""
    return _part(path).stat().st_size if _part(path).exists() else 0


def is_right(path, checksum, bar):
    """Whether a file has a checksum."""
    task = bar.add_task(f"Checking {path.name.removesuffix('.part')}", total=path.stat().st_size)
    with bar.open(path, "rb", task_id=task) as file:
        digest = hashlib.file_digest(file, "md5" if len(checksum) == 32 else "sha256")
    return digest.hexdigest() == checksum


def _part(path):
    return path.with_name(f"{path.name}.part")


def _transfer(url, path, size, bar):
    """Fill the .part file, with several tries."""
    furthest, waits = arrived(path), iter(WAITS)
    task = bar.add_task(f"Fetching {path.name}", total=size, completed=furthest)
    while (have := arrived(path)) < size:
        try:
            for start, data in _pieces(url, have, size):
                with open(_part(path), "ab") as file:
                    file.truncate(start)
                    file.write(data)
                bar.update(task, completed=start + len(data))
        except ConnectionError as error:
            if arrived(path) > furthest:
                furthest, waits = arrived(path), iter(WAITS)
            wait = next(waits, None)
            if wait is None:
                here = f"{arrived(path):,} of {size:,} bytes are in {_part(path)}"
                raise OSError(f"{error} {here}. Try again to go on from there.") from error
            bar.console.print(f"{error} It goes on in {wait} s.", markup=False, highlight=False)
            time.sleep(wait)


def _pieces(url, start, size):
    """Pairs of place and bytes that a server sends from `start` on or, if it cannot, from 0 on.

    A ConnectionError is of a transfer that may go on.
    """
    request = urllib.request.Request(url, headers={"Range": f"bytes={start}-"})
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT) as response:
            start = start if response.status == http.client.PARTIAL_CONTENT else 0
            sent = response.headers.get("Content-Range") or response.headers.get("Content-Length")
            right = str(sent).rpartition("/")[2] == str(size)
            while right and (data := response.read(CHUNK)):
                yield start, data
                start += len(data)
    except urllib.error.HTTPError as error:
        error.close()
        kind = OSError if error.code < http.client.INTERNAL_SERVER_ERROR else ConnectionError
        raise kind(f"{url}: the server answers {error.code} {error.reason}.") from error
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        raise ConnectionError(f"{url} cannot be reached ({reason}).") from error
    if not right:
        raise OSError(
            f"{url} should be a file of {size:,} bytes, but the server sends {sent}. Check the "
            "address and whether the network asks to log in first; what has arrived stays."
        )
    if start < size:
        raise ConnectionError(f"{url} broke off.")
