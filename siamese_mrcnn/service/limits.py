"""What the service takes at most, in one place."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bounds of what users may ask for; each is told in the sentence that refuses."""

    upload_bytes: int = 32 << 20  # of a whole request
    pixels: int = 50_000_000  # of a picture: the largest phones' 48 million, and some
    side: int = 20_000  # of a picture, pixels; OpenCV resizes none above 32 767
    images: int = 16  # that one request searches
    tiles: int = 1200  # of the pictures of one request: 48 million pixels have about 1000
    shots: int = 8  # crops of one thing
    things: int = 16  # that one request searches for
    library: int = 500  # things in it
    waiting: int = 128  # pictures that wait for the model
    requests: int = 256  # in hand, of which some still send
    batch: int = 8  # pictures that the network gets at once
    seconds: float = 60.0  # until a search must have ended
    idle_seconds: float = 30.0  # that a client may pause while it sends
