"""Paste cut-outs on photos: scenes with exact masks, in COCO's own layout.

    mug/1.png, mug__1.png            a picture that is transparent around the thing
    images/mug/1.jpg, masks/mug/1.png    or a photo, and its mask, the thing in white

Folders, or what stands before "__", are categories. Annotations serve as well, in any form that
import-data reads. Each cut-out is a thing of its own, unless a second folder says of which one it
is a view: mug/mine/1.png, mug/mine/2.png. A part of the things is kept for validation; what is
printed, and things.json, say which.

The same pictures, numbers and seed give the same files, byte for byte. An interrupted call goes on
where it stopped when it is repeated.
"""

from mrcnn.harmless_text import for_terminal
from siamese_mrcnn.commands import common


def add_arguments(parser):
    parser.add_argument("--out", required=True, metavar="FOLDER", help="empty or missing folder")
    parser.add_argument(
        "--cutouts", required=True, nargs="+", metavar="SOURCE", help="folders or annotation files"
    )
    parser.add_argument(
        "--backgrounds",
        nargs="+",
        default=[],
        metavar="FOLDER",
        help="photos that show none of the categories (default: drawn textures)",
    )
    common.add_source_arguments(parser)
    parser.add_argument("--train", type=common.positive, default=2000, metavar="N", help="scenes")
    parser.add_argument("--val", type=common.positive, default=200, metavar="N", help="scenes")
    parser.add_argument(
        "--size", type=common.positive, default=384, metavar="PIXELS", help="side (default: 384)"
    )
    parser.add_argument("--seed", type=common.natural, default=0)
    parser.add_argument(
        "--workers", type=common.positive, metavar="N", help="processes (default: one a core)"
    )


def run(arguments):
    from siamese_mrcnn.cut_paste.scenes import make_scenes

    made = make_scenes(
        arguments.out,
        arguments.cutouts,
        arguments.backgrounds,
        arguments.train,
        arguments.val,
        arguments.size,
        arguments.seed,
        arguments.workers,
        **common.source_options(arguments),
    )
    lines = [f"{arguments.train} + {arguments.val} scenes: {made.folder}", *made.notes]
    print(for_terminal("\n".join(lines), keep="\n"))
