"""Bring data of your own into COCO's layout, and keep a part of it for the test.

SOURCE is a COCO file, a VIA (VGG Image Annotator) file (JSON or CSV), a folder of labelme's JSON
files, or a folder of pictures and mask files:

    SOURCE/street/images/any.jpg     one picture
    SOURCE/street/masks/car/1.png    the mask of an instance each, in a folder of its category
    SOURCE/street/labels/dog.png     or one file for all dogs: each value but 0 is an instance

An interrupted call goes on where it stopped when it is repeated.
"""

from mrcnn.harmless_text import for_terminal
from siamese_mrcnn.commands import common


def add_arguments(parser):
    parser.add_argument(
        "source", metavar="SOURCE", help="a file, or a folder of pictures and masks"
    )
    parser.add_argument("--out", required=True, metavar="FOLDER", help="empty or missing folder")
    common.add_source_arguments(parser)
    test = parser.add_mutually_exclusive_group()
    test.add_argument(
        "--test-part",
        type=common.fraction,
        default=0.2,
        metavar="PART",
        help="of the images of each category, drawn to test on (default: 0.2; 1: all)",
    )
    test.add_argument("--test", metavar="SOURCE", help="other data to test on, of any kind")
    parser.add_argument("--test-images", metavar="FOLDER", help="as --images, of --test")
    parser.add_argument("--seed", type=common.natural, default=0, help="of the draw")
    parser.add_argument(
        "--link", action="store_true", help="make symbolic links to images, not copies"
    )
    parser.add_argument(
        "--range",
        dest="value_range",
        nargs=2,
        type=float,
        metavar=("LOW", "HIGH"),
        help="values that become black and white in pictures of more than 8 bits (0 4095 for a "
        "camera of 12 bits)",
    )


def run(arguments):
    from mrcnn.files import in_hand
    from siamese_mrcnn.own_data.convert_to_coco import import_data, to_text
    from siamese_mrcnn.own_data.load import read_own_data

    if arguments.test_images is not None and arguments.test is None:
        raise ValueError("--test-images are those of other data to test on: give --test as well.")
    options = common.source_options(arguments)
    with in_hand(arguments.source):
        data = read_own_data(arguments.source, **options)
    test = None
    if arguments.test is not None:
        with in_hand(arguments.test):
            test = read_own_data(arguments.test, **options | {"images": arguments.test_images})
    imported = import_data(
        data,
        arguments.out,
        test,
        arguments.test_part,
        arguments.seed,
        arguments.link,
        arguments.value_range,
    )
    print(for_terminal(to_text(imported), keep="\n"))
