"""COCO folders as data sets: classes 1..N, images in the paper's order, masks on demand."""

import logging
from pathlib import Path

import numpy as np

from mrcnn.data.dataset import Dataset
from siamese_mrcnn.data.coco_annotations import (
    AnnotationError,
    decode_mask,
    has_outline,
    is_crowd,
    read_annotations,
)
from siamese_mrcnn.data.splits import training_and_validation

logger = logging.getLogger(__name__)

SOURCE = "coco"
PORTIONS = {"train": "train", "validation": "train", "test": "val"}  # portion: COCO's own name
PROBED_IMAGES = 20  # looked for on opening: all missing means a wrong folder
NAMED_ANNOTATIONS = 10  # ids that a warning lists


class CocoDataset(Dataset):
    """Images and instances of one COCO annotation file.

    Class ids are 1..N in ascending category id; the background is 0. Masks are decoded only when
    asked for. `coco` is the pycocotools object of the whole file.
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
        if portion not in PORTIONS:
            names = ", ".join(map(repr, PORTIONS))
            raise ValueError(f"There is no portion {portion!r} of COCO: use one of {names}.")
        name = f"{PORTIONS[portion]}{year}"
        folder = Path(folder)
        annotation_file = folder / "annotations" / f"instances_{name}.json"
        return cls.from_json(annotation_file, folder / name, portion, classes)

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
        coco = read_annotations(annotation_file)
        return cls.from_coco(coco, annotation_file, image_folder, portion, classes)

    @classmethod
    def from_coco(cls, coco, annotation_file, image_folder, portion="test", classes=None):
        """Open annotations that are read already, see `from_json`.

        Args:
            coco: pycocotools object, as `coco_annotations.index_annotations` makes it.
            annotation_file: where they come from, for messages.
        """
        dataset = cls()
        dataset.coco = coco
        dataset.annotation_file = Path(annotation_file)
        for category_id in sorted(dataset.coco.getCatIds()):
            dataset.add_class(SOURCE, category_id, dataset.coco.cats[category_id]["name"])
        image_ids = paper_order(dataset.coco)
        if portion in ("train", "validation"):
            image_ids = training_and_validation(image_ids)[portion == "validation"]
        for image_id in image_ids:
            dataset._add(dataset.coco.imgs[image_id], Path(image_folder))
        dataset.prepare()
        dataset._index()
        dataset._check_images(Path(image_folder))
        dataset.active_classes = classes
        return dataset

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
            raise AnnotationError(
                f"{self.annotation_file} shows none of the requested classes ({names}) in this "
                "portion. Choose other classes or another portion."
            )
        self._active_classes = chosen

    def classes_in(self, image_id):
        """Ascending class ids with at least one usable instance that is not a crowd."""
        return tuple(sorted({self._class_of(item) for item in self._instances(image_id)}))

    def instances_of(self, image_id, class_id):
        """Annotation ids of the class in the image, crowds left aside, in the file's order."""
        class_id = int(class_id)
        found = (item for item in self._instances(image_id) if self._class_of(item) == class_id)
        return tuple(item["id"] for item in found)

    def load_instance(self, image_id, annotation_id):
        """Mask of one annotation, bool [H, W].

        Raises:
            AnnotationError: if it is damaged.
        """
        return decode_mask(self.coco.anns[annotation_id], self._image(image_id))

    def class_of_instance(self, image_id, annotation_id):
        """Class id of one annotation of the image.

        Raises:
            AnnotationError: if the image has no such annotation.
        """
        for item in self.image_info[image_id]["annotations"]:
            if item["id"] == annotation_id:
                return self._class_of(item)
        raise AnnotationError(
            f"Image {image_id} ({self.image_info[image_id]['path']}) has no annotation "
            f"{annotation_id}."
        )

    def load_masks_of(self, image_id, class_id):
        """Masks of all instances of one class, crowds left aside: bool [H, W, N]."""
        masks = [
            self.load_instance(image_id, number) for number in self.instances_of(image_id, class_id)
        ]
        return self._stack(image_id, [mask for mask in masks if mask.any()])

    def load_mask(self, image_id):
        """All instances of an image, crowds included.

        Returns:
            bool [H, W, N] and int32 [N] class ids, negative for crowds.
        """
        masks, class_ids = [], []
        for item in self.image_info[image_id]["annotations"]:
            if item["id"] in self._unusable:
                continue
            mask = decode_mask(item, self._image(image_id))
            if mask.any():
                masks.append(mask)
                class_ids.append(-self._class_of(item) if is_crowd(item) else self._class_of(item))
        return self._stack(image_id, masks), np.array(class_ids, np.int32)

    def image_reference(self, image_id):
        """The address of the image at COCO's own site, or its path."""
        return self._image(image_id).get("coco_url") or str(self.image_info[image_id]["path"])

    def _image(self, image_id):
        return self.coco.imgs[self.image_info[image_id]["id"]]

    def _class_of(self, annotation):
        return self._class_of_category[annotation["category_id"]]

    def _instances(self, image_id):
        for item in self.image_info[image_id]["annotations"]:
            if not is_crowd(item) and item["id"] not in self._unusable:
                yield item

    def _add(self, image, folder):
        self.add_image(
            SOURCE,
            image_id=image["id"],
            path=str(folder / image["file_name"]),
            width=image["width"],
            height=image["height"],
            annotations=self.coco.imgToAnns[image["id"]],
        )

    def _index(self):
        """Prepare to find classes, and find the annotations that show nothing."""
        categories = sorted(self.coco.getCatIds())
        self._class_of_category = {number: n + 1 for n, number in enumerate(categories)}
        self._unusable = frozenset(
            item["id"]
            for info in self.image_info
            for item in info["annotations"]
            if not self._shows_something(item)
        )
        if self._unusable:
            logger.warning(
                "%s: left out %d annotations that cover no pixel (ids %s ...).",
                self.annotation_file,
                len(self._unusable),
                ", ".join(map(str, sorted(self._unusable)[:NAMED_ANNOTATIONS])),
            )

    def _shows_something(self, annotation):
        if not has_outline(annotation):
            return False
        # Decoding everything takes minutes; a positive area is proof enough, its lack is not.
        if annotation["area"] > 0:
            return True
        try:
            return decode_mask(annotation, self.coco.imgs[annotation["image_id"]]).any()
        except AnnotationError as error:
            logger.warning("%s", error)
            return False

    def _check_images(self, folder):
        if not folder.is_dir():
            raise FileNotFoundError(
                f"There is no image folder {folder} for {self.annotation_file}. Unpack the "
                "images there or give their folder."
            )
        probes = [Path(info["path"]) for info in self.image_info[:PROBED_IMAGES]]
        if not any(path.is_file() for path in probes):
            raise FileNotFoundError(
                f"The folder {folder} holds none of the first {len(probes)} images of "
                f"{self.annotation_file}, such as {probes[0].name}. Is it the right folder?"
            )

    def _stack(self, image_id, masks):
        if masks:
            return np.stack(masks, axis=2)
        image = self._image(image_id)
        return np.zeros((image["height"], image["width"], 0), bool)


def paper_order(coco):
    """COCO ids of all annotated images in the order that the paper's training used.

    The original collected ids category by category and took them out of a set, so the order is
    CPython's; it decides which 3000 images are "the last".
    """
    image_ids = []
    for category_id in sorted(coco.getCatIds()):
        image_ids.extend(coco.getImgIds(catIds=[category_id]))
    return list(set(image_ids))
