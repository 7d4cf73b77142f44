"""Vectors of a thing in a safetensors file, which says what they were made of."""

import logging

from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from mrcnn.files import atomic_path

logger = logging.getLogger(__name__)


def write_vectors(path, vectors, made_of):
    """Write vectors whole or not at all.

    Args:
        path: of the file.
        vectors: list of float32 [1, channels].
        made_of: {text: text} that tells when they serve again.

    Raises:
        mrcnn.files.UnwritableError: the file could not be written.
    """
    tensors = {f"{number:02d}": vector for number, vector in enumerate(vectors)}
    content = save(tensors, metadata=made_of)
    with atomic_path(path, size=len(content)) as temporary:
        temporary.write_bytes(content)


def read_vectors(path, made_of):
    """The vectors that `write_vectors` wrote if they were made of the same, else None.

    A damaged file is told, and counts as none: vectors can be made again.
    """
    try:
        with safe_open(path, framework="numpy") as file:
            if file.metadata() != made_of:
                return None
            return [file.get_tensor(name) for name in sorted(file.keys())]
    except FileNotFoundError:
        return None
    except (SafetensorError, OSError) as error:
        logger.warning("%s cannot be read, its references are encoded anew: %s", path, error)
        return None
