import numpy as np
import pytest

from mrcnn.data.dataset import Dataset, DatasetError


class Toy(Dataset):
    """Three images of 4 x 5 pixels: a cat and two dogs; a crowd of dogs; a cat."""

    CONTENT = [[1, 2, 2], [-2], [1]]

    def load_mask(self, image_id):
        class_ids = np.array(self.CONTENT[image_id], np.int32)
        masks = np.zeros((4, 5, len(class_ids)), bool)
        masks[0, range(len(class_ids)), range(len(class_ids))] = True
        return masks, class_ids


@pytest.fixture
def toy():
    dataset = Toy()
    dataset.add_class("zoo", 10, "cat,domestic cat")
    dataset.add_class("zoo", 20, "dog")
    dataset.add_class("zoo", 10, "cat again")
    for number in range(3):
        dataset.add_image("zoo", image_id=100 + number, path=f"{number}.jpg", width=5)
    dataset.prepare()
    return dataset


def test_numbers_and_names(toy):
    assert toy.num_classes == 3
    assert toy.class_ids.tolist() == [0, 1, 2]
    assert toy.class_names == ["BG", "cat", "dog"]
    assert toy.num_images == 3
    assert toy.image_ids.tolist() == [0, 1, 2]
    assert toy.image_info[1] == {"id": 101, "source": "zoo", "path": "1.jpg", "width": 5}


def test_ids_of_the_source(toy):
    assert toy.map_source_class_id("zoo.20") == 2
    assert toy.get_source_class_id(2, "zoo") == 20
    assert toy.map_source_image_id("zoo.102") == 2
    assert toy.source_image_link(2) == toy.image_reference(2) == "2.jpg"
    with pytest.raises(DatasetError, match=r"zoo\.99"):
        toy.map_source_class_id("zoo.99")
    with pytest.raises(DatasetError, match="other"):
        toy.get_source_class_id(2, "other")


def test_what_images_show(toy):
    assert toy.classes_in(0) == (1, 2)
    assert toy.classes_in(1) == ()
    assert toy.images_with(1) == (0, 2)
    assert toy.images_with(2) == (0,)
    assert toy.images_with(77) == ()
    assert toy.load_masks_of(0, 2).shape == (4, 5, 2)
    assert toy.load_masks_of(1, 2).shape == (4, 5, 0)


def test_active_classes_are_those_of_the_source(toy):
    toy.append_data(
        [{"source": "", "id": 0, "name": "BG"}, {"source": "farm", "id": 1, "name": "cow"}],
        [{"id": 1, "source": "farm", "path": "cow.jpg", "height": 7}],
    )
    toy.prepare()
    assert toy.class_names == ["BG", "cat", "dog", "cow"]
    assert toy.active_classes_of(0).tolist() == [1, 1, 1, 0]
    assert toy.active_classes_of(3).tolist() == [1, 0, 0, 1]
    assert toy.image_info[3]["height"] == 7


def test_classes_that_are_the_same(toy):
    toy.add_class("farm", 3, "dog")
    toy.add_class("farm", 4, "cow")
    toy.add_image("farm", 1, "cow.jpg")
    toy.prepare(class_map={"farm.3": "zoo.20"})
    assert toy.class_names == ["BG", "cat", "dog", "cow"]
    assert toy.map_source_class_id("farm.3") == 2
    assert toy.active_classes_of(3).tolist() == [1, 0, 1, 1]
    toy.prepare()  # again, which changes nothing
    assert toy.map_source_class_id("farm.3") == 2
    with pytest.raises(DatasetError, match=r"farm\.9"):
        toy.prepare(class_map={"farm.9": "zoo.20"})


def test_unprepared_use_is_refused(toy):
    toy.add_image("zoo", 103, "3.jpg")
    with pytest.raises(DatasetError, match="prepare"):
        _ = toy.image_ids
    with pytest.raises(DatasetError, match="prepare"):
        toy.images_with(1)
    with pytest.raises(DatasetError, match="dot"):
        toy.add_class("zoo.animals", 1, "cat")


def test_load_mask_must_be_defined():
    with pytest.raises(NotImplementedError, match="load_mask"):
        Dataset().load_mask(0)


def test_load_mask_knows_images_without_instances():
    class Shown(Dataset):
        def load_image(self, image_id):
            return np.zeros((6, 7, 3), np.uint8)

        def load_mask(self, image_id):
            return super().load_mask(image_id)

    masks, class_ids = Shown().load_mask(0)
    assert masks.shape == (6, 7, 0) and class_ids.shape == (0,)
    assert masks.dtype == bool and class_ids.dtype == np.int32


def test_images_are_read_from_their_path(toy, tmp_path):
    from PIL import Image

    Image.fromarray(np.full((4, 5), 9, np.uint8)).save(tmp_path / "grey.png")
    toy.image_info[0]["path"] = tmp_path / "grey.png"
    np.testing.assert_array_equal(toy.load_image(0), np.full((4, 5, 3), 9))
