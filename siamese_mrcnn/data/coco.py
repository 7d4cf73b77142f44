"""COCO folders as data sets: classes 1..N, images in the paper's order, masks on demand."""

import logging
import os
from pathlib import Path

import numpy as np

from mrcnn.data.dataset import Dataset
from mrcnn.images.image import ImageError
from siamese_mrcnn.data.coco_annotations import (
    collector_paused,
    decode_mask,
    is_crowd,
    read_annotations,
)
from siamese_mrcnn.data.image_places import places_of
from siamese_mrcnn.data.outlines import AnnotationError
from siamese_mrcnn.data.splits import training_and_validation

logger = logging.getLogger(__name__)

SOURCE = "coco"
PORTIONS = {"train": "train", "validation": "train", "test": "val"}  # portion: COCO's own name
PROBED_IMAGES = 20  # looked for on opening: all missing means a wrong folder


class OtherSizeError(ImageError):
    """A picture of another size than its annotations are made for."""


class CocoDataset(Dataset):
    """Images and instances of one COCO annotation file.

    Class ids are 1..N in ascending category id; the background is 0. Masks are decoded only when
    asked for. `coco` holds the checked annotations of the whole file.
    """

    @classmethod
    def from_folder(cls, folder, portion, classes=None, year="2017"):
        """Open one portion of a folder in COCO's own layout.

        Args:
            folder: holds annotations/instances_{train,val}2017.json, train2017/ and val2017/.
            portion: "train" or "validation" (both of train2017), or "test" (val2017).
            classes: class ids to draw from; all if None.
            year: the number in the names of files and folders.

        Returns:
            CocoDataset, prepared.

        Raises:
            FileNotFoundError: if the annotation file or the image folder is missing.
            AnnotationError: if the file is unusable or shows none of the classes.
        """
        annotation_file, image_folder = files_of(folder, portion, year)
        return cls.from_json(annotation_file, image_folder, portion, classes)

    @classmethod
    def from_json(cls, annotation_file, image_folder, portion="test", classes=None):
        """Open any COCO annotation file and its folder of images.

        Args:
            annotation_file: JSON file in COCO's instance format.
            image_folder: folder that the file names in it are relative to.
            portion: "train" or "validation" cut the file as train2017 is cut; "test" is all of it.
            classes: class ids to draw from; all if None.

        Raises: see `from_folder`.
        """
        _check_portion(portion)
        return cls.from_annotations(
            read_annotations(annotation_file), image_folder, portion, classes
        )

    @classmethod
    @collector_paused()
    def from_annotations(
        cls, annotations, image_folder, portion="test", classes=None, files=None, skip_missing=False
    ):
        """Open annotations that are read already, see `from_json`.

        Args:
            annotations: `siamese_mrcnn.data.coco_annotations.Annotations`.
            files: {file_name: path} of the pictures, where they are known.
            skip_missing: leave out images whose files are not there, with a word.
        """
        _check_portion(portion)
        dataset = cls()
        dataset.coco = annotations
        dataset.annotation_file = annotations.path
        categories = sorted(annotations.cats)
        dataset._class_of_category = {number: n + 1 for n, number in enumerate(categories)}
        for category_id in categories:
            dataset.add_class(SOURCE, category_id, annotations.cats[category_id]["name"])
        for image_id, path in _places(annotations, image_folder, portion, files, skip_missing):
            dataset._add(annotations.imgs[image_id], path)
        dataset.prepare()
        dataset.active_classes = classes
        return dataset

    def prepare(self, class_map=None):
        """As `Dataset.prepare`, but names of classes are whole, whatever commas they hold."""
        super().prepare(class_map)
        self.class_names = [info["name"] for info in self.class_info]

    @property
    def active_classes(self):
        """Ascending class ids that queries and references are drawn from; None sets all."""
        return self._active_classes

    @active_classes.setter
    def active_classes(self, classes):
        known = range(1, self.num_classes)
        chosen = tuple(known if classes is None else sorted({int(number) for number in classes}))
        unknown = [number for number in chosen if number not in known]
        if unknown or not chosen:
            raise ValueError(
                f"The classes to use must be some of 1 to {self.num_classes - 1}, but are "
                f"{list(chosen)}. Class names: {', '.join(self.class_names[1:])}."
            )
        if not any(self.images_with(number) for number in chosen):
            names = ", ".join(self.class_names[number] for number in chosen)
            crowds = sum(is_crowd(item) for info in self.image_info for item in info["annotations"])
            hint = f" ({crowds} annotations are crowds, iscrowd 1, which do not count.)"
            raise AnnotationError(
                f"{self.annotation_file} shows none of the requested classes ({names}) in this "
                f"portion. Choose other classes or another portion.{hint if crowds else ''}"
            )
        self._active_classes = chosen

    def classes_in(self, image_id):
        """Ascending class ids with at least one usable instance that is not a crowd."""
        class_of, items = self._class_of_category, self.image_info[image_id]["annotations"]
        # Of all images of COCO this is asked when they are opened.
        return tuple(sorted({class_of[e["category_id"]] for e in items if not e["iscrowd"]}))

    def classes_and_crowds_in(self, image_id):
        """Ascending class ids with at least one usable annotation, crowds included."""
        items = self.image_info[image_id]["annotations"]
        return tuple(sorted({self._class_of(item) for item in items}))

    def instances_of(self, image_id, class_id):
        """Annotation ids of the class in the image, crowds left aside, in the file's order."""
        class_id = int(class_id)
        found = (item for item in self._instances(image_id) if self._class_of(item) == class_id)
        return tuple(item["id"] for item in found)

    def load_instance(self, image_id, annotation_id):
        """Mask of one annotation of the image, bool [H, W]; errors as of `class_of_instance`."""
        return decode_mask(self._item(image_id, annotation_id), self._image(image_id))

    def class_of_instance(self, image_id, annotation_id):
        """Class id of one annotation of the image.

        Raises:
            AnnotationError: if the image has no such annotation.
        """
        return self._class_of(self._item(image_id, annotation_id))

    def load_image(self, image_id):
        """The picture: uint8 [H, W, 3], RGB.

        Raises:
            mrcnn.images.image.ImageError: if it cannot be read.
            OtherSizeError: if it has another size than the annotations are made for.
        """
        picture, image = super().load_image(image_id), self._image(image_id)
        if picture.shape[:2] != (image["height"], image["width"]):
            raise OtherSizeError(
                f"{self.image_info[image_id]['path']} is {picture.shape[1]} x {picture.shape[0]} "
                f"pixels, but {self.annotation_file} says {image['width']} x {image['height']}, so "
                "its outlines would lie elsewhere. Scale or turn one of the two."
            )
        return picture

    def load_masks_of(self, image_id, class_id):
        """Masks of all instances of one class, crowds left aside: bool [H, W, N]."""
        numbers = self.instances_of(image_id, class_id)
        return self._stack(image_id, [self.load_instance(image_id, number) for number in numbers])

    def load_mask(self, image_id):
        """All instances of an image, crowds included.

        Returns:
            bool [H, W, N] and int32 [N] class ids, negative for crowds.
        """
        items = self.image_info[image_id]["annotations"]
        masks = [decode_mask(item, self._image(image_id)) for item in items]
        class_ids = [
            -self._class_of(each) if is_crowd(each) else self._class_of(each) for each in items
        ]
        return self._stack(image_id, masks), np.array(class_ids, np.int32)

    def image_reference(self, image_id):
        """The address of the image at COCO's own site, or its path."""
        return self._image(image_id).get("coco_url") or str(self.image_info[image_id]["path"])

    def thing_of_instance(self, image_id, annotation_id):
        """Name of the single thing that an annotation shows, where the file says so, else None.

        Raises: see `class_of_instance`.
        """
        return self._item(image_id, annotation_id).get("thing")

    def _image(self, image_id):
        return self.coco.imgs[self.image_info[image_id]["id"]]

    def _item(self, image_id, annotation_id):
        for item in self.image_info[image_id]["annotations"]:
            if item["id"] == annotation_id:
                return item
        raise AnnotationError(
            f"Image {image_id} ({self.image_info[image_id]['path']}) has no annotation "
            f"{annotation_id}."
        )

    def _class_of(self, annotation):
        return self._class_of_category[annotation["category_id"]]

    def _instances(self, image_id):
        return (item for item in self.image_info[image_id]["annotations"] if not is_crowd(item))

    def _add(self, image, path):
        self.add_image(
            SOURCE,
            image_id=image["id"],
            path=path,
            width=image["width"],
            height=image["height"],
            annotations=self.coco.imgToAnns[image["id"]],
        )

    def _stack(self, image_id, masks):
        if masks:
            return np.stack(masks, axis=2)
        image = self._image(image_id)
        return np.zeros((image["height"], image["width"], 0), bool)


def files_of(folder, portion, year="2017"):
    """(annotation file, folder of images) of a portion of a folder in COCO's own layout."""
    _check_portion(portion)
    name = f"{PORTIONS[portion]}{year}"
    return Path(folder) / "annotations" / f"instances_{name}.json", Path(folder) / name


def _check_portion(portion):
    if portion not in PORTIONS:
        names = ", ".join(map(repr, PORTIONS))
        raise ValueError(f"There is no portion {portion!r} of COCO: use one of {names}.")


def _places(annotations, folder, portion, files, skip_missing):
    """(image id, path as text) of the images of a portion, in order."""
    if files is None and not Path(folder).is_dir():
        raise FileNotFoundError(
            f"There is no image folder {folder} for {annotations.path}. Unpack the images there "
            "or give their folder."
        )
    names = {number: annotations.imgs[number]["file_name"] for number in annotations.image_order}
    places = files if files is not None else places_of(names.values(), folder)
    paths = {image_id: str(places[name]) for image_id, name in names.items()}
    if skip_missing:
        paths = _present(paths, annotations.path)
    _probe([*paths.values()][:PROBED_IMAGES], folder, annotations.path)
    chosen = list(paths)
    if portion != "test":
        chosen = _part(chosen, paths, portion == "validation")
    return [(image_id, paths[image_id]) for image_id in chosen]


def _present(paths, annotation_file):
    there = {image_id: path for image_id, path in paths.items() if os.path.isfile(path)}
    if len(there) < len(paths):
        logger.warning(
            "%s: left out %d of %d images, whose files are not there.",
            annotation_file,
            len(paths) - len(there),
            len(paths),
        )
    return there


def _probe(paths, folder, annotation_file):
    """Refuse a folder that holds none of the first images."""
    if not any(map(os.path.isfile, paths)):
        example = f", such as {os.path.basename(paths[0])}" if paths else ""
        raise FileNotFoundError(
            f"The folder {folder} holds none of the first {len(paths)} images of "
            f"{annotation_file}{example}. Is it the right folder?"
        )


def _part(image_ids, paths, is_validation):
    """The images for training or for validation; a picture listed twice is for one of the two."""
    first = {}
    for image_id in image_ids:
        first.setdefault(paths[image_id], image_id)
    cut = training_and_validation(list(first.values()))[is_validation]
    chosen = {paths[image_id] for image_id in cut}
    return [image_id for image_id in image_ids if paths[image_id] in chosen]
