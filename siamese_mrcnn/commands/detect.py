"""Find in pictures what references show: one thing, or several by their names in a library.

Writes for each picture NAME a drawing NAME_found.png and its data NAME_found.json: boxes
[y1, x1, y2, x2] in pixels, scores, and masks as COCO run lengths. Of several pictures ranking.csv
has the best score first, and best.png shows the best. Called again after an interruption, it goes
on with the pictures that are left. A picture that cannot be searched stops no other.

Of a film (.mp4, .avi, .mov, .mkv, .webm) NAME_found.mp4 shows what was found, NAME_found.jsonl has
a line for each frame, and NAME_found.png is the best one. An interrupted call goes on with the next
frame.

Without a library, references are shots of one thing. In a library (see `siamese-mrcnn references`)
a name is a thing, and a file given beside it is another; what is found has their names as labels.
"""

import os
import sys
from pathlib import Path

from mrcnn.harmless_text import for_terminal
from siamese_mrcnn.commands import common
from siamese_mrcnn.error_sentences import sentence_of

LONGEST_STEM = 120  # bytes of a photo's name that its results keep; systems allow 255 in all
NAMED = 5  # of the files that are passed over


def add_arguments(parser):
    _add_thing_arguments(parser)
    parser.add_argument(
        "--image",
        nargs="+",
        required=True,
        metavar="FILE",
        help="pictures to search, folders of them, or films",
    )
    common.add_weights_arguments(parser, default="photos")
    parser.add_argument("--out", default="detections", metavar="FOLDER", help="where to write")
    parser.add_argument(
        "--threshold",
        type=common.fraction,
        metavar="SCORE",
        help="leave out what scores less (default: what was measured for the weights, else 0.7)",
    )
    parser.add_argument(
        "--tiles",
        nargs="?",
        const=True,
        type=common.positive,
        metavar="SIDE",
        help="search each picture in overlapping tiles of SIDE pixels, too (default: the model's "
        "own side): finds small things in large pictures, and takes as long as all tiles do",
    )
    parser.add_argument(
        "--every", type=common.positive, metavar="N", help="of films: search every N-th frame"
    )
    parser.add_argument(
        "--tracks",
        action="store_true",
        help="of films: number things through the frames; needs the packages supervision and "
        "trackers",
    )
    common.add_contour_argument(parser)
    common.add_config_argument(parser)


def _add_thing_arguments(parser):
    parser.add_argument(
        "--reference",
        action="append",
        default=[],
        metavar="FILE|NAME",
        help="picture of the thing, cut close; give several of the same kind of thing for more "
        "than one shot; or its name in the library (default: all that --library has)",
    )
    parser.add_argument(
        "--box",
        action="append",
        type=common.box,
        metavar="Y1,X1,Y2,X2",
        help="where the thing is in the reference picture, pixels; once for each --reference that "
        "is a file",
    )
    parser.add_argument(
        "--not",
        dest="negatives",
        action="append",
        default=[],
        metavar="FILE|NAME",
        help="what must not be found: detections that are nearer to it are left out",
    )
    common.add_library_argument(parser, default=None)


def run(arguments):
    if not arguments.reference and arguments.library is None:
        raise ValueError("There is nothing to search for: give --reference, --library or both.")
    paths, out = find_images(arguments.image), Path(arguments.out)
    searched = [name for name in arguments.image if Path(name).is_dir()]
    if out.resolve() in [Path(name).resolve() for name in searched]:
        raise ValueError(
            f"The results cannot go to {out}, whose pictures are searched: they would be searched "
            "the next time. Name another folder by --out."
        )
    common.load_backend(arguments)
    from mrcnn.locks import alone_in
    from siamese_mrcnn.search.films import FilmSearch, is_film
    from siamese_mrcnn.search.photos import PhotoSearch, write_ranking
    from siamese_mrcnn.search.things import library_for, negatives_of, things_of

    if (arguments.every or arguments.tracks) and not any(map(is_film, paths)):
        raise ValueError("--every and --tracks are for films, but there is none among --image.")
    asked, refused = arguments.reference, arguments.negatives
    library = library_for([*asked, *refused], arguments.library)
    things, negatives = things_of(asked, arguments.box, library), negatives_of(refused, library)
    model = common.detection_model(
        arguments, IMAGES_PER_GPU=1, DETECTION_MIN_CONFIDENCE=arguments.threshold
    )
    chosen = [key for key, _ in arguments.settings if key == "DETECTION_MIN_CONFIDENCE"]
    if model.threshold is not None and arguments.threshold is None and not chosen:
        model.config.DETECTION_MIN_CONFIDENCE = model.threshold
        print(
            f"What scores less than {model.threshold:.2f} is left out, as was measured for these "
            "weights (see calibrate). --threshold changes it."
        )
    search = PhotoSearch(
        model, things, negatives, library, not arguments.contour, tiles=arguments.tiles
    )
    films = FilmSearch(search, arguments.every or 1, arguments.tracks)
    finds = [films.find if is_film(path) else search.find for path in paths]
    with alone_in(out):
        findings = search_all(finds, paths, output_names(paths, out))
        if len(paths) > 1 and findings:
            print("The best first:", *map(for_terminal, write_ranking(findings, out)))
    failed = len(paths) - len(findings)
    if failed:
        print(f"siamese-mrcnn: {failed} of {len(paths)} failed.", file=sys.stderr)
    return 1 if failed else 0


def search_all(finds, paths, targets):
    """Search photos and films, and say what came of each: the list of those that could be searched.

    Args:
        finds: for each the function of its path and the path of its results to a `Finding`.
        paths, targets: these.

    Raises:
        mrcnn.files.UnwritableError: results cannot be written, which no other photo would change.
        Exception: whatever a single photo raised.
    """
    from mrcnn.files import UnwritableError, in_hand

    findings = []
    for number, (find, path, target) in enumerate(zip(finds, paths, targets, strict=True), 1):
        try:
            with in_hand(path):
                findings.append(find(path, target))
        except UnwritableError:
            raise
        except Exception as error:
            if len(paths) == 1:
                raise
            print(f"siamese-mrcnn: {sentence_of(error)}", file=sys.stderr)
        else:
            counted = f"[{number}/{len(paths)}] " if len(paths) > 1 else ""
            print(counted + _sentence(findings[-1]), flush=True)
    return findings


def _sentence(finding):
    earlier = "" if finding.is_new else " earlier"
    photo, result = for_terminal(finding.photo), for_terminal(finding.result)
    return f"{photo}: {finding.words}{earlier}, see {result}"


def find_images(names):
    """The picture files among files and folders, in order; of folders, what else they hold is told.

    Raises:
        FileNotFoundError: a name is neither, or a folder holds no pictures.
    """
    paths = []
    for name in map(Path, names):
        if name.is_dir():
            paths += _pictures_in(name)
        elif not name.exists():
            raise FileNotFoundError(f"There is no picture {name}. Check the path.")
        else:
            paths.append(name)
    return paths


def _pictures_in(folder):
    """What has the name of a picture and is no folder; hidden files do not count."""
    from mrcnn.images.picture_files import PICTURE_ENDINGS

    shown = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    inside = [
        path for path in shown if path.suffix.lower() in PICTURE_ENDINGS and not path.is_dir()
    ]
    endings = ", ".join(sorted(PICTURE_ENDINGS))
    if not inside:
        raise FileNotFoundError(f"The folder {folder} holds no pictures ({endings}).")
    others = [for_terminal(path.name) for path in shown if path not in set(inside)]
    if others:
        more = f" and {len(others) - NAMED} more" if len(others) > NAMED else ""
        print(
            f"siamese-mrcnn: {len(others)} of {len(shown)} in {for_terminal(folder)} are passed "
            f"over, as they are no files named like pictures: {', '.join(others[:NAMED])}{more}",
            file=sys.stderr,
        )
    return inside


def output_names(paths, folder):
    """Where results go, without ending; numbered where two pictures share a name."""
    targets, used = [], set()
    for path in paths:
        own = os.fsencode(path.stem)[:LONGEST_STEM].decode("utf-8", "replace")
        stem, number = own, 1
        while stem in used:
            number += 1
            stem = f"{own}_{number}"
        used.add(stem)
        targets.append(folder / f"{stem}_found")
    return targets
