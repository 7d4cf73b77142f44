"""Draw the small data set that needs no download: scenes of shapes in COCO's own layout."""

from siamese_mrcnn.commands import common


def add_arguments(parser):
    parser.add_argument("folder", metavar="OUT", help="empty or missing folder")
    parser.add_argument("--train-images", type=common.positive, default=200, metavar="N")
    parser.add_argument("--val-images", type=common.positive, default=40, metavar="N")
    parser.add_argument(
        "--image-size", type=common.positive, default=256, metavar="PIXELS", help="side"
    )
    parser.add_argument("--seed", type=common.natural, default=0)


def run(arguments):
    from siamese_mrcnn.synthetic.shapes import make_shapes

    folder = make_shapes(
        arguments.folder,
        arguments.train_images,
        arguments.val_images,
        arguments.image_size,
        arguments.seed,
    )
    print(f"{arguments.train_images} + {arguments.val_images} scenes: {folder}")
