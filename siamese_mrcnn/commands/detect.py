"""Find in pictures what a reference shows.

Writes for each picture NAME a drawing NAME_found.png and its data NAME_found.json: boxes
[y1, x1, y2, x2] in pixels, scores, and masks as COCO run lengths.
"""

import json
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
    paths = find_images(arguments.image)
    common.load_backend(arguments)
    import numpy as np

    from siamese_mrcnn.references import prepare_reference

    crops = read_references(arguments.reference, arguments.box)
    config = common.make_config(
        arguments.config,
        arguments.settings,
        IMAGES_PER_GPU=1,
        DETECTION_MIN_CONFIDENCE=arguments.threshold,
    )
    model = common.detection_model(config, arguments.weights, arguments.logs)
    vectors = model.encode_references(np.stack([[prepare_reference(c, config) for c in crops]]))
    failed = 0
    for path, target in zip(paths, output_names(paths, Path(arguments.out)), strict=True):
        try:
            _search(model, vectors, path, target, crops, arguments)
        except (ValueError, OSError) as error:
            if len(paths) == 1:
                raise
            print(f"siamese-mrcnn: {error}", file=sys.stderr)
            failed += 1
    if failed:
        print(f"siamese-mrcnn: {failed} of {len(paths)} failed.", file=sys.stderr)
    return 1 if failed else 0


def _search(model, vectors, path, target, crops, arguments):
    from mrcnn.images import read_image
    from siamese_mrcnn.visualize import draw_result

    image = read_image(path, upright=True)
    (found,) = model.detect_encoded(model.encode_queries([image]), vectors)
    target.parent.mkdir(parents=True, exist_ok=True)
    drawing = target.with_suffix(".png")
    draw_result(image, crops, found, path=drawing, filled=not arguments.contour)
    _write_data(target.with_suffix(".json"), path, image.shape, arguments.reference, found)
    print(f"{path}: {len(found['scores'])} found, see {drawing}")


def _write_data(target, path, shape, names, found):
    from siamese_mrcnn.coco_results import encode_mask
    from siamese_mrcnn.evaluation_log import written_whole

    masks = found.get("masks")
    data = {
        "image": str(path),
        "height": shape[0],
        "width": shape[1],
        "references": [str(name) for name in names],
        "detections": [
            {
                "box": [int(side) for side in found["rois"][index]],
                "score": float(score),
                "mask": encode_mask(masks[:, :, index]) if masks is not None else None,
            }
            for index, score in enumerate(found["scores"])
        ],
    }
    with written_whole(target) as file:
        json.dump(data, file, indent=1)


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
    from mrcnn.images import read_image

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
