"""What two more named things cost in the same photos: `python -m benchmarks.named_things`.

Searches twenty photos, JPEG files, for one named thing and for three in one pass. By default with
the weights of the box.
"""

import argparse
import os
import statistics
import tempfile
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

PHOTOS, THINGS = 20, 3
REPETITIONS = 7


def main():
    parser = argparse.ArgumentParser(prog="python -m benchmarks.named_things", description=__doc__)
    parser.add_argument("--small", action="store_true", help="the paper's small model, random")
    parser.add_argument("--side", type=int, default=1200, help="of the photos, pixels")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        measure(*prepare(Path(folder), arguments.small, arguments.side))


def prepare(folder, small, side):
    """A model, {name: vectors} of three things, and the paths of photos."""
    from benchmarks.cases import detecting_model
    from siamese_mrcnn.model import SiameseMaskRCNN

    model = detecting_model(folder) if small else SiameseMaskRCNN.from_preset("glyphs")
    model.fold_batch_norm()  # as `siamese-mrcnn detect` does
    model.config.IMAGES_PER_GPU = 1  # likewise
    photos, crops = photos_and_crops(folder, side)
    return model, model.encode_things(crops), photos


def photos_and_crops(folder, side):
    """Paths of scenes of glyphs, enlarged to photos, and {name: crop} of things that they show."""
    import cv2

    from siamese_mrcnn.data.coco import CocoDataset
    from siamese_mrcnn.synthetic.glyphs import make_glyphs

    make_glyphs(folder / "glyphs", train_images=2, val_images=PHOTOS, seed=3, progress=False)
    dataset = CocoDataset.from_folder(folder / "glyphs", "test")
    photos, crops = [], {}
    for image_id in dataset.image_ids:
        image = dataset.load_image(image_id)
        photos.append(folder / f"{image_id}.jpg")
        enlarged = cv2.resize(image, (side, side), interpolation=cv2.INTER_CUBIC)
        cv2.imwrite(str(photos[-1]), enlarged[..., ::-1])
        if len(crops) < THINGS:
            mask = dataset.load_masks_of(image_id, dataset.classes_in(image_id)[0])[..., 0]
            rows, columns = mask.any(axis=1).nonzero()[0], mask.any(axis=0).nonzero()[0]
            box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
            crops[f"thing {len(crops) + 1}"] = image[box]
    return photos, crops


def measure(model, things, photos):
    """Print seconds and their ratio; photo by photo in turn, so that both meet the same machine."""
    from benchmarks.measure import seconds

    one = dict(list(things.items())[:1])
    ratios = []
    for number in range(REPETITIONS + 1):
        single, together = 0.0, 0.0
        for photo in photos:
            single += seconds(lambda: model.detect(one, [photo]))  # noqa: B023 - called at once
            together += seconds(lambda: model.detect(things, [photo]))  # noqa: B023
        if number:  # the first compiles
            ratios.append(together / single)
            print(f"one {single:6.2f} s   three {together:6.2f} s   ratio {ratios[-1]:.2f}")
    counts = [sum(map(len, model.detect(each, photos))) for each in (one, things)]
    print(f"median ratio {statistics.median(ratios):.2f}; found {counts[0]} and {counts[1]}")


if __name__ == "__main__":
    main()
