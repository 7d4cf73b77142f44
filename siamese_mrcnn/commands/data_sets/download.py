"""Fetch COCO 2017 and unpack it into a folder that `train` and `evaluate` read.

Before it starts it says how much will be transferred and what space that takes. Ctrl-C, a broken
connection or a full disk lose nothing: the same command goes on.
"""

import functools
import sys

PARTS = ("train", "val", "annotations")


def add_arguments(parser):
    parser.add_argument(
        "--data", default="data/coco", metavar="FOLDER", help="where to (default: data/coco)"
    )
    parser.add_argument(
        "--parts",
        nargs="+",
        choices=PARTS,
        default=PARTS,
        help="images to train on, images to test on, annotations of both (default: all)",
    )
    parser.add_argument(
        "--base-url",
        metavar="ADDRESS",
        help="a mirror with the same files (default: COCO's own, images.cocodataset.org)",
    )
    parser.add_argument(
        "--keep-archives", action="store_true", help="leave the ZIP files in the folder"
    )


def run(arguments):
    from siamese_mrcnn.data.coco_download import download

    try:
        download(
            arguments.data,
            arguments.parts,
            arguments.base_url,
            arguments.keep_archives,
            say=functools.partial(print, flush=True),
        )
    except KeyboardInterrupt:
        print(
            f"What has arrived stays in {arguments.data}: run the same command again to go on.",
            file=sys.stderr,
        )
        raise
