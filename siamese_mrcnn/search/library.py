"""Things by name, in a folder: the pictures that show them, and vectors to search with.

    library.json            names, see `siamese_mrcnn.search.library_index`
    ID/shot_1.png, ...      crops as they were given, so that any weights can encode them
    ID/thumbnail.png        of the first
    ID/vectors.safetensors  of the weights that searched last

The index is written last, and each file under another name first: whoever is killed, or meets a
full disk, leaves the library as it was.
"""

import contextlib
import datetime
import difflib
import logging
import secrets
import shutil
import time
from dataclasses import replace
from pathlib import Path

from PIL import Image

from mrcnn.files import atomic_path
from mrcnn.images.image import read_image
from mrcnn.locks import InUseError, alone_in
from siamese_mrcnn.fingerprints import model_fingerprint
from siamese_mrcnn.search.library_index import (
    Entry,
    LibraryError,
    checked_name,
    read_index,
    write_index,
)
from siamese_mrcnn.search.reference import Reference
from siamese_mrcnn.search.vector_files import read_vectors, write_vectors

logger = logging.getLogger(__name__)

THUMBNAIL_SIDE = 128  # pixels, of the longer side
VECTORS = "vectors.safetensors"
PATIENCE = 10  # seconds to wait for another program that changes the library
# Settings that vectors do not depend on begin so.
OF_DETECTING = ("BATCH_SIZE", "DETECTION_", "GPU_COUNT", "IMAGES_PER_GPU")


class ReferenceLibrary:
    """A folder of things that can be searched for by name.

    Several programs may use it at once.

    Args:
        folder: path; made when the first thing is added.
    """

    def __init__(self, folder):
        self.folder = Path(folder)

    def names(self):
        """All names, sorted.

        Raises:
            LibraryError: library.json is damaged. So raise all methods.
        """
        return sorted(self.entries())

    def entries(self):
        """{name: `siamese_mrcnn.search.library_index.Entry`}"""
        return read_index(self.folder)

    def entry(self, name, things=None):
        """The `siamese_mrcnn.search.library_index.Entry` of a thing.

        Args:
            name: of the thing.
            things: what `entries` returned, if it was called.

        Raises:
            LibraryError: there is no such thing.
        """
        things = self.entries() if things is None else things
        name = checked_name(name)
        if name not in things:
            near = difflib.get_close_matches(name, things) or sorted(things)[:5]
            hint = f" Did you mean {' or '.join(map(repr, near))}?" if near else " It is empty."
            raise LibraryError(f"There is no thing {name!r} in the library {self.folder}.{hint}")
        return things[name]

    def __contains__(self, name):
        try:
            return checked_name(name) in self.entries()
        except LibraryError:
            read_index(self.folder)  # a damaged library is no answer
            return False

    def add(self, name, references, model=None):
        """Add shots of a thing, new or known. All of them, or none.

        Args:
            name: of the thing, see `library_index.checked_name`.
            references: list of `Reference`, or a single one.
            model: `SiameseMaskRCNN` to encode it with now; None: by whichever searches first.

        Raises:
            LibraryError: the name cannot serve, or there are no references.
            ImageError: a picture is none, or a box does not fit it.
            mrcnn.files.UnwritableError: the disk is full, say.
            mrcnn.locks.InUseError: another program did not end its changes.
        """
        name = checked_name(name)
        references = [references] if isinstance(references, Reference) else list(references)
        if not references:
            raise LibraryError(f"{name!r} needs at least one reference, but got none.")
        crops = [reference.crop() for reference in references]
        with self._changing() as things, contextlib.ExitStack() as undo:
            known = things.get(name) or Entry(secrets.token_hex(6), 0, "")
            undo.callback(self._take_back, known)
            for number, crop in enumerate(crops, known.shots + 1):
                _save(crop, self._shot(known, number))
            if not known.shots:
                picture = Image.fromarray(crops[0])
                picture.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE))
                _save(picture, self._file(known, "thumbnail.png"))
            now = datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")
            things[name] = replace(known, shots=known.shots + len(crops), added=now)
            write_index(self.folder, things)
            undo.pop_all()
        if model is not None:
            self.vectors(name, model)

    def remove(self, name):
        """Remove a thing with its pictures.

        Raises:
            LibraryError: there is no such thing.
        """
        with self._changing() as things:
            entry = self.entry(name, things)
            write_index(
                self.folder, {key: each for key, each in things.items() if each is not entry}
            )
            shutil.rmtree(self.folder / entry.id, ignore_errors=True)  # nobody finds it any more

    def rename(self, old, new):
        """Give a thing another name.

        Raises:
            LibraryError: there is no such thing, or another has the new name.
        """
        new = checked_name(new)
        with self._changing() as things:
            entry = self.entry(old, things)
            if things.get(new, entry) is not entry:
                raise LibraryError(f"There is a thing {new!r} already: remove it, or take another.")
            kept = {key: each for key, each in things.items() if each is not entry}
            write_index(self.folder, kept | {new: entry})

    def crops(self, name):
        """The shots of a thing: list of uint8 [height, width, 3].

        Raises:
            LibraryError: there is no such thing.
            ImageError: a file is missing or damaged.
        """
        return self._crops(self.entry(name))

    def thumbnail(self, name):
        """Path of a small picture of a thing, at most `THUMBNAIL_SIDE` pixels high and wide."""
        return self._file(self.entry(name), "thumbnail.png")

    def vectors(self, name, model):
        """The vectors of a thing for a model, see `all_vectors`: [float32 [1, channels], ...]."""
        return self.all_vectors(model, [name])[checked_name(name)]

    def all_vectors(self, model, names=None):
        """What a model searches things by: {name: [float32 [1, channels], ...]}.

        Those of the same weights are kept; for others the pictures are encoded anew.

        Args:
            model: `siamese_mrcnn.model.SiameseMaskRCNN`.
            names: of things; all by default.

        Raises:
            LibraryError: there is no such thing.
            ImageError: a picture has to be encoded, but is missing or damaged.
        """
        things = self.entries()
        names = sorted(things) if names is None else [checked_name(name) for name in names]
        weights = model_fingerprint(model, without=OF_DETECTING)
        return {
            name: self._vectors(name, self.entry(name, things), model, weights) for name in names
        }

    def _vectors(self, name, entry, model, weights):
        made_of = {"weights": weights, "shots": str(entry.shots)}
        path = self._file(entry, VECTORS)
        vectors = read_vectors(path, made_of)
        if vectors is None:
            vectors = model.encode_things({name: self._crops(entry)})[name]
            try:
                with self._changing() as things:
                    if things.get(name) == entry:  # nobody has removed it meanwhile
                        write_vectors(path, vectors, made_of)
                        write_index(self.folder, things | {name: replace(entry, weights=weights)})
            except OSError as error:  # they serve all the same
                logger.warning("The vectors of %s are not kept: %s", name, error)
        return vectors

    def _crops(self, entry):
        return [read_image(self._shot(entry, number)) for number in range(1, entry.shots + 1)]

    def _shot(self, entry, number):
        return self._file(entry, f"shot_{number}.png")

    def _file(self, entry, name):
        return self.folder / entry.id / name

    def _take_back(self, entry):
        """Remove what an `add` that failed has written."""
        if not entry.shots:
            shutil.rmtree(self.folder / entry.id, ignore_errors=True)
        for path in (self.folder / entry.id).glob("shot_*.png"):
            if int(path.stem.removeprefix("shot_")) > entry.shots:
                path.unlink(missing_ok=True)

    @contextlib.contextmanager
    def _changing(self):
        """The things, while no other program changes them."""
        last = time.monotonic() + PATIENCE
        with contextlib.ExitStack() as held:
            while True:
                try:
                    held.enter_context(alone_in(self.folder))
                    break
                except InUseError:
                    if time.monotonic() > last:
                        raise
                    time.sleep(0.02)
            yield read_index(self.folder)


def _save(picture, path):
    """Write a picture, an array or Pillow's, as PNG: whole or not at all."""
    picture = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
    with atomic_path(path, suffix=".png") as temporary:
        picture.save(temporary, format="PNG")
