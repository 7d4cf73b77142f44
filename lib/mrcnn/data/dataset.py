"""The data set that users subclass: which images and classes there are, how to load them.

Class ids count from 1 in the order in which classes are added; 0 is the background. In what
`load_mask` returns, a negative id marks a crowd: a region where instances are not told apart.
"""

import logging

import numpy as np

from mrcnn.images.image import read_image

logger = logging.getLogger(__name__)


class DatasetError(ValueError):
    """A data set that is put together or asked in a way that cannot work."""


class Dataset:
    """Images with instance masks: subclass it, add classes and images, call `prepare`.

    A subclass overrides `load_mask`, and `load_image` if the pictures are not files. It may
    override `classes_in`, `classes_and_crowds_in`, `load_masks_of`, `images_with` and, together,
    `instances_of`, `load_instance` and `class_of_instance` by faster versions.
    """

    def __new__(cls, *arguments, **keywords):
        """What a subclass needs whose `__init__` does not call this one's."""
        del arguments, keywords
        dataset = super().__new__(cls)
        dataset._class_map = {}
        dataset._same_class = {}  # "source.id" -> "source.id" of the class that it is part of
        dataset._images_with = None
        dataset._is_prepared = False
        return dataset

    def __init__(self, class_map=None):
        """Begin empty; `class_map` is the default of `prepare`.

        Anything but a dict counts as none: many programs call `super().__init__(self)`.
        """
        self.class_info = [{"source": "", "id": 0, "name": "BG"}]
        self.image_info = []
        self._class_map = class_map if isinstance(class_map, dict) else {}

    # --- putting it together ------------------------------------------------------------------

    def add_class(self, source, class_id, class_name):
        """Add a class of a source ("coco", "mine", ...); one that is known is left alone."""
        if "." in source:
            raise DatasetError(f"The name of a source must not hold a dot, but is {source!r}.")
        known = any(info["source"] == source and info["id"] == class_id for info in self.class_info)
        if not known:
            self.class_info.append({"source": source, "id": class_id, "name": class_name})
            self._is_prepared = False

    def add_image(self, source, image_id, path, **kwargs):
        """Add an image by its id in the source; further arguments are kept in `image_info`."""
        self.image_info.append({"id": image_id, "source": source, "path": path, **kwargs})
        self._is_prepared = False

    def append_data(self, class_info, image_info):
        """Add the classes and images of another data set, as its `class_info`, `image_info`."""
        for info in class_info:
            if info["source"]:
                self.add_class(info["source"], info["id"], info["name"])
        for info in image_info:
            self.add_image(**{("image_id" if key == "id" else key): info[key] for key in info})

    def prepare(self, class_map=None):
        """Number classes and images; to be called after adding and before using.

        Args:
            class_map: {"source.id": "source.id"}: classes that are the same as another one,
                whose number they get.
        """
        self._merge_classes(class_map or self._class_map)
        self.num_classes = len(self.class_info)
        self.class_ids = np.arange(self.num_classes)
        self.class_names = [info["name"].split(",")[0] for info in self.class_info]
        self.num_images = len(self.image_info)
        self._image_ids = np.arange(self.num_images)
        self.class_from_source_map = {
            _source_key(info): index for index, info in enumerate(self.class_info)
        }
        for part, whole in self._same_class.items():
            self.class_from_source_map[part] = self.class_from_source_map[whole]
        self.image_from_source_map = {
            _source_key(info): index for index, info in enumerate(self.image_info)
        }
        self.sources = sorted({info["source"] for info in self.class_info})
        self.source_class_ids = {source: self._classes_of(source) for source in self.sources}
        self._images_with = None
        self._is_prepared = True

    def _merge_classes(self, class_map):
        known = {_source_key(info) for info in self.class_info}
        for part, whole in class_map.items():
            if part not in known or whole not in known or whole in class_map:
                raise DatasetError(
                    f"class_map says that {part!r} is the same as {whole!r}, but one of them is "
                    "not a class of this data set or is mapped itself. Keys and values are "
                    '"source.id", values are classes that stay.'
                )
        self._same_class.update(class_map)
        self.class_info = [
            info for info in self.class_info if _source_key(info) not in self._same_class
        ]

    def _classes_of(self, source):
        """Class ids that images of this source may show, background included."""
        own = {0}
        for key, class_id in self.class_from_source_map.items():
            if key.partition(".")[0] == source:
                own.add(class_id)
        return sorted(own)

    # --- asking -------------------------------------------------------------------------------

    @property
    def image_ids(self):
        """Numbers of the images, 0 .. num_images - 1."""
        self._check_prepared()
        return self._image_ids

    def map_source_class_id(self, source_class_id):
        """Class id of "source.id", for example "coco.12" -> 12."""
        return self._look_up(self.class_from_source_map, source_class_id, "class")

    def map_source_image_id(self, source_image_id):
        """Number of the image "source.id", for example "coco.139" -> 0."""
        return self._look_up(self.image_from_source_map, source_image_id, "image")

    def get_source_class_id(self, class_id, source):
        """Id that a class has in its source."""
        info = self.class_info[class_id]
        if info["source"] != source:
            raise DatasetError(
                f"Class {class_id} ({info['name']}) is of the source {info['source']!r}, "
                f"not of {source!r}."
            )
        return info["id"]

    def source_image_link(self, image_id):
        """Path or address of an image."""
        return self.image_info[image_id]["path"]

    def image_reference(self, image_id):
        """What to show to a person who wants to see the image at its source."""
        return str(self.source_image_link(image_id))

    def active_classes_of(self, image_id):
        """Which classes are labelled in this image: int32 [num_classes] of 0 and 1.

        They are the classes of the image's source, and the background.
        """
        flags = np.zeros(self.num_classes, np.int32)
        flags[self.source_class_ids.get(self.image_info[image_id]["source"], [0])] = 1
        return flags

    # --- loading ------------------------------------------------------------------------------

    def load_image(self, image_id):
        """The picture: uint8 [H, W, 3], RGB.

        Raises:
            mrcnn.images.image.ImageError: if it cannot be read.
        """
        return read_image(self.image_info[image_id]["path"])

    def load_mask(self, image_id):
        """All instances of an image: bool [H, W, N] and class ids int32 [N], negative for crowds.

        To be overridden. An override may hand on here what shows no instance: N is 0.
        """
        if type(self).load_mask is not Dataset.load_mask:
            shape = np.shape(self.load_image(image_id))[:2]
            return np.zeros((*shape, 0), bool), np.zeros(0, np.int32)
        raise NotImplementedError(
            f"{type(self).__name__} must define load_mask(image_id), which returns masks "
            "bool [height, width, instances] and class ids int32 [instances]."
        )

    def load_masks_of(self, image_id, class_id):
        """The instances of one class in an image, without crowds: bool [H, W, n]."""
        masks, class_ids = checked_instances(*self.load_mask(image_id))
        return masks.astype(bool)[..., class_ids == class_id]

    def instances_of(self, image_id, class_id):
        """Numbers of the instances of one class in an image, without crowds: a tuple.

        They are the instances' places in what `load_mask` returns.
        """
        class_ids = np.asarray(self.load_mask(image_id)[1])
        return tuple(np.flatnonzero(class_ids == class_id).tolist())

    def load_instance(self, image_id, instance):
        """The mask of one instance, by its number in `instances_of`: bool [H, W]."""
        return np.asarray(self.load_mask(image_id)[0], bool)[..., instance]

    def class_of_instance(self, image_id, instance):
        """Class id of one instance, by its number in `instances_of`."""
        return abs(int(self.load_mask(image_id)[1][instance]))

    def classes_in(self, image_id):
        """Sorted tuple of the classes of which the image shows an instance, crowds apart."""
        class_ids = np.unique(self.load_mask(image_id)[1])
        return tuple(int(class_id) for class_id in class_ids if class_id > 0)

    def classes_and_crowds_in(self, image_id):
        """Sorted tuple of the classes of which the image shows an instance or a crowd."""
        return tuple(np.unique(np.abs(self.load_mask(image_id)[1])).astype(int).tolist())

    def images_with(self, class_id):
        """Tuple of the images that show an instance of a class, crowds apart.

        An image whose classes cannot be told is left out with a word.
        """
        self._check_prepared()
        if self._images_with is None:
            index = {}
            for image_id in self._image_ids.tolist():
                for present in self._classes_or_none(image_id):
                    index.setdefault(present, []).append(image_id)
            self._images_with = {key: tuple(images) for key, images in index.items()}
        return self._images_with.get(class_id, ())

    def _classes_or_none(self, image_id):
        try:
            return self.classes_in(image_id)
        except NotImplementedError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a user's load_mask() raises
            link = self.source_image_link(image_id)
            logger.warning("Nothing is known of %s: %s: %s", link, type(error).__name__, error)
            return ()

    def _check_prepared(self):
        if not self._is_prepared:
            raise DatasetError(
                "The data set is not prepared, or classes or images were added since: "
                "call prepare() before using it."
            )

    def _look_up(self, table, key, kind):
        self._check_prepared()
        if key not in table:
            raise DatasetError(
                f'There is no {kind} {key!r} in this data set; the form is "source.id".'
            )
        return table[key]


def checked_instances(masks, class_ids):
    """Masks [H, W, N] and class ids [N] as arrays, once there are as many of both.

    Raises:
        DatasetError: what `load_mask` returned does not fit.
    """
    masks, class_ids = np.asarray(masks), np.asarray(class_ids)
    if masks.ndim != 3 or class_ids.shape != masks.shape[2:]:
        raise DatasetError(
            "load_mask() must return masks [height, width, N] and N class ids, but returned masks "
            f"of the shape {list(masks.shape)} and class ids of the shape {list(class_ids.shape)}"
        )
    return masks, class_ids


def _source_key(info):
    return f"{info['source']}.{info['id']}"
