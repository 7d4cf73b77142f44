"""Find in pictures what a reference shows.

Writes for each picture NAME a drawing NAME_found.png and its data NAME_found.json: boxes
[y1, x1, y2, x2] in pixels, scores, and masks as COCO run lengths. Of several pictures ranking.csv
has the best score first, and best.png shows the best. Called again after an interruption, it goes
on with the pictures that are left.
"""

import sys
from pathlib import Path

from siamese_mrcnn.commands import common

ENDINGS = {".jpg", ".jpeg", ".png", ".bmp", ".tif", ".tiff", ".webp"}


def add_arguments(parser):
    parser.add_argument(
        "--reference",
        action="append",
        required=True,
        metavar="FILE",
        help="picture of the thing, cut close; give several of the same kind of thing for more "
        "than one shot",
    )
    parser.add_argument(
        "--box",
        action="append",
        type=common.box,
        metavar="Y1,X1,Y2,X2",
        help="where the thing is in the reference picture, pixels; once for each --reference",
    )
    parser.add_argument(
        "--image",
        nargs="+",
        required=True,
        metavar="FILE",
        help="pictures to search, or folders of them",
    )
    common.add_weights_arguments(parser)
    parser.add_argument("--out", default="detections", metavar="FOLDER", help="where to write")
    parser.add_argument(
        "--threshold",
        type=common.fraction,
        metavar="SCORE",
        help="leave out what scores less (default: 0.7)",
    )
    common.add_contour_argument(parser)
    common.add_config_argument(parser)


def run(arguments):
    paths, out = find_images(arguments.image), Path(arguments.out)
    searched = [name for name in arguments.image if Path(name).is_dir()]
    if out.resolve() in [Path(name).resolve() for name in searched]:
        raise ValueError(
            f"The results cannot go to {out}, whose pictures are searched: they would be searched "
            "the next time. Name another folder by --out."
        )
    common.load_backend(arguments)
    from siamese_mrcnn.config import make_config
    from siamese_mrcnn.photo_search import PhotoSearch, write_ranking

    crops = read_references(arguments.reference, arguments.box)
    config = make_config(
        arguments.config,
        arguments.settings,
        IMAGES_PER_GPU=1,
        DETECTION_MIN_CONFIDENCE=arguments.threshold,
    )
    model = common.detection_model(config, arguments.weights, arguments.logs)
    search = PhotoSearch(model, arguments.reference, crops, filled=not arguments.contour)
    findings = []
    for number, (path, target) in enumerate(zip(paths, output_names(paths, out), strict=True), 1):
        try:
            findings.append(search.find(path, target))
        except (ValueError, OSError) as error:
            if len(paths) == 1:
                raise
            print(f"siamese-mrcnn: {error}", file=sys.stderr)
        else:
            counted = f"[{number}/{len(paths)}] " if len(paths) > 1 else ""
            print(counted + _sentence(findings[-1]), flush=True)
    if len(paths) > 1 and findings:
        print("The best first:", *write_ranking(findings, out))
    failed = len(paths) - len(findings)
    if failed:
        print(f"siamese-mrcnn: {failed} of {len(paths)} failed.", file=sys.stderr)
    return 1 if failed else 0


def _sentence(finding):
    earlier = "" if finding.is_new else " earlier"
    return f"{finding.photo}: {len(finding.scores)} found{earlier}, see {finding.drawing}"


def find_images(names):
    """The picture files among files and folders, in order.

    Raises:
        FileNotFoundError: a name is neither, or a folder holds no pictures.
    """
    paths = []
    for name in map(Path, names):
        if not name.is_dir():
            paths.append(name)
            continue
        inside = sorted(path for path in name.iterdir() if path.suffix.lower() in ENDINGS)
        if not inside:
            raise FileNotFoundError(f"The folder {name} holds no pictures ({_endings()}).")
        paths += inside
    missing = [str(path) for path in paths if not path.is_file()]
    if missing:
        raise FileNotFoundError(f"There is no picture {missing[0]}. Check the path.")
    return paths


def output_names(paths, folder):
    """Where results go, without ending; numbered where two pictures share a name."""
    targets, used = [], set()
    for path in paths:
        stem, number = path.stem, 1
        while stem in used:
            number += 1
            stem = f"{path.stem}_{number}"
        used.add(stem)
        targets.append(folder / f"{stem}_found")
    return targets


def read_references(names, boxes=None):
    """Read the references and cut them out: list of uint8 [height, width, 3].

    Raises:
        ValueError: not one box for each reference, or a box outside the picture.
    """
    from mrcnn.images.image import read_image

    pictures = [read_image(name, upright=True) for name in names]
    if not boxes:
        return pictures
    if len(boxes) != len(names):
        raise ValueError(
            f"{len(names)} references need as many --box, or none, but got {len(boxes)}."
        )
    return [_cut(*each) for each in zip(names, pictures, boxes, strict=True)]


def _cut(name, picture, box):
    y1, x1, y2, x2 = box
    height, width = picture.shape[:2]
    if y2 > height or x2 > width:
        raise ValueError(
            f"The box {y1},{x1},{y2},{x2} does not fit the reference {name} of {height} x {width} "
            "pixels (height x width). Give y1,x1,y2,x2 inside it."
        )
    return picture[y1:y2, x1:x2]


def _endings():
    return ", ".join(sorted(ENDINGS))
