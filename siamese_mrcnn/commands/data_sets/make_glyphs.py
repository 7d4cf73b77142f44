"""Draw a one-shot benchmark: cluttered scenes of symbols with exact masks, in COCO's own layout.

The same numbers and seed give the same files, byte for byte. An interrupted call goes on where it
stopped when it is repeated. Categories are characters of DejaVu Sans that differ in shape; which
ones depends on their number alone, so splits 1 to 4 leave out the same ones for every seed.
"""

from siamese_mrcnn.commands import common


def add_arguments(parser):
    parser.add_argument("--out", required=True, metavar="FOLDER", help="empty or missing folder")
    parser.add_argument("--train", type=common.positive, default=20000, metavar="N", help="scenes")
    parser.add_argument("--val", type=common.positive, default=2000, metavar="N", help="scenes")
    parser.add_argument(
        "--size", type=common.positive, default=256, metavar="PIXELS", help="side (default: 256)"
    )
    parser.add_argument(
        "--categories", type=common.positive, default=80, metavar="N", help="4 to about a thousand"
    )
    parser.add_argument("--seed", type=common.natural, default=0)
    parser.add_argument(
        "--workers", type=common.positive, metavar="N", help="processes (default: one a core)"
    )


def run(arguments):
    from siamese_mrcnn.synthetic.glyphs import make_glyphs

    folder = make_glyphs(
        arguments.out,
        arguments.train,
        arguments.val,
        arguments.size,
        arguments.categories,
        arguments.seed,
        arguments.workers,
    )
    print(f"{arguments.train} + {arguments.val} scenes: {folder}")
